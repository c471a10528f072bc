/* Keeps the total below an order's lines up to date while they are typed. Money is whole cents, so that sums are exact. */
"use strict";

{
    const UNKNOWN = Symbol("unknown");
    const prices = new Map(); // by product; null: the catalogue does not have it

    const text = (cents) => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;

    function lines() {
        const rows = [...document.querySelectorAll("#lines-group tr.form-row:not(.empty-form)")];
        return rows
            .map((row) => ({
                product: row.querySelector("select[name$='-product']")?.value ?? "",
                quantity: row.querySelector("input[name$='-quantity']")?.value.trim() ?? "",
                isDeleted: row.querySelector("input[name$='-DELETE']")?.checked ?? false,
            }))
            .filter((line) => line.product && !line.isDeleted);
    }

    function said(shown, words) {
        const sums = new Map();
        let left = 0;
        for (const { product, quantity } of shown) {
            const price = prices.has(product) ? prices.get(product) : UNKNOWN;
            if (price === UNKNOWN) {
                return words.textUnread;
            }
            if (price === null || !/^[1-9]\d{0,5}$/.test(quantity)) {
                left += 1;
            } else {
                sums.set(price.currency, (sums.get(price.currency) ?? 0) + price.cents * Number(quantity));
            }
        }
        const total = [...sums].map(([currency, cents]) => `${text(cents)} ${currency}`).join(" + ");
        let sentence = words.textTotal;
        if (left) {
            sentence = left === 1 ? words.textWithoutOne : words.textWithoutSeveral;
        }
        return sentence.replace("{total}", total || "–").replace("{count}", left);
    }

    async function read(url, products) {
        const query = new URLSearchParams(products.map((product) => ["product", product]));
        const response = await fetch(`${url}?${query}`, { headers: { Accept: "application/json" } });
        if (!response.ok) {
            throw new Error(`${url}: ${response.status}`);
        }
        const found = await response.json();
        products.forEach((product) => prices.set(product, found[product] ?? null));
    }

    function start() {
        const total = document.getElementById("running-total");
        if (!total) {
            return;
        }
        const show = (words) => {
            if (total.textContent !== words) {
                total.textContent = words; // a screen reader reads each change aloud
            }
        };
        const count = async () => {
            show(said(lines(), total.dataset));
            const missing = [...new Set(lines().map((line) => line.product))].filter((each) => !prices.has(each));
            if (missing.length) {
                try {
                    await read(total.dataset.prices, missing);
                    show(said(lines(), total.dataset));
                } catch {
                    show(total.dataset.textUnreadable);
                }
            }
        };
        // Select2 tells of a choice by jQuery alone, which hears the browser's own events too.
        window.django.jQuery("#lines-group").on("input change", count);
        document.addEventListener("formset:added", count);
        document.addEventListener("formset:removed", count);
        count();
    }

    document.addEventListener("DOMContentLoaded", start);
}
