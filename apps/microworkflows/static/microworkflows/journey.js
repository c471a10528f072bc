/* Keeps a journey up to date on the page: polls its fragment and replaces what has changed. */
"use strict";

{
    const LIVE = 1000; // milliseconds between two looks while the flow is on its way
    const CALM = 5000; // and once it has settled, or nothing has changed for PATIENCE looks
    const PATIENCE = 120;
    const LONGEST_RETRY = 15000;
    const TIMEOUT = 10000;

    class Journey {
        constructor(element) {
            this.element = element;
            this.url = element.dataset.mwJourney;
            this.settled = element.dataset.mwSettled === "true";
            this.connection = element.querySelector("[data-mw-connection]");
            this.texts = this.connection.dataset; // in the language of the page
            this.etag = null;
            this.failures = 0;
            this.unchanged = 0;
            this.timer = null;
            this.request = null;
        }

        start() {
            document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.look()));
            window.addEventListener("online", () => this.look());
            setInterval(() => countDown(this.element, this.texts), 1000);
            countDown(this.element, this.texts);
            this.ended = "mwEnded" in this.element.dataset; // then nothing more can come
            if (!document.hidden) {
                this.look();
            }
        }

        pause() {
            clearTimeout(this.timer);
            this.request?.abort();
        }

        async look() {
            if (this.ended || document.hidden) {
                return;
            }
            this.pause();
            const request = (this.request = new AbortController());
            const timeout = setTimeout(() => request.abort(), TIMEOUT);
            try {
                const response = await fetch(this.url, {
                    headers: this.etag ? {"If-None-Match": this.etag} : {},
                    cache: "no-store",
                    credentials: "same-origin",
                    redirect: "manual",
                    signal: request.signal,
                });
                const html = response.status === 200 ? await response.text() : "";
                if (this.request === request) {
                    this.answered(response, html);
                }
            } catch {
                // Aborted by a newer look or by a hidden tab: that is no failure.
                if (this.request === request && !document.hidden) {
                    this.failed();
                }
            } finally {
                clearTimeout(timeout);
            }
            if (this.request === request && !this.ended && !document.hidden) {
                this.timer = setTimeout(() => this.look(), this.pace());
            }
        }

        answered(response, html) {
            if (response.status === 200) {
                this.etag = response.headers.get("ETag");
                this.show(html);
                this.unchanged = 0;
            } else if (response.status === 304) {
                this.unchanged += 1;
            } else if (response.type === "opaqueredirect" || response.status === 403) {
                return this.end(this.texts.textLoggedOut);
            } else if (response.status === 404) {
                return this.end(this.texts.textGone);
            } else {
                return this.failed();
            }
            this.failures = 0;
            this.say(this.settled || this.ended ? "" : this.texts.textLive, "live");
        }

        show(html) {
            const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("[data-mw-fragment]");
            if (fresh === null) {
                return this.end(this.texts.textNoJourney);
            }
            this.settled = fresh.dataset.mwSettled === "true";
            for (const part of fresh.querySelectorAll("[data-mw-part]")) {
                const shown = document.querySelectorAll(`[data-mw-part="${part.dataset.mwPart}"]`);
                shown.forEach((element) => patch(element, part));
            }
            this.ended = "mwEnded" in fresh.dataset;
            countDown(this.element, this.texts);
        }

        failed() {
            this.failures += 1;
            this.say(this.texts.textLost, "lost");
        }

        end(message) {
            this.ended = true;
            this.say(message, "lost");
        }

        say(message, state) {
            this.connection.hidden = message === "";
            this.connection.dataset.mwConnection = state;
            this.element.classList.toggle("mw-stale", state === "lost");
            if (this.connection.textContent !== message) {
                this.connection.textContent = message;
            }
        }

        pace() {
            if (this.failures > 0) {
                return Math.min(LIVE * 2 ** this.failures, LONGEST_RETRY);
            }
            return this.settled || this.unchanged > PATIENCE ? CALM : LIVE;
        }
    }

    /* Make `shown` look like `fresh`, touching only children that differ, so that focus and selection stay. */
    function patch(shown, fresh) {
        const keyed = fresh.querySelector(":scope > [data-key]") || shown.querySelector(":scope > [data-key]");
        if (!keyed) {
            if (shown.innerHTML !== fresh.innerHTML) {
                shown.innerHTML = fresh.innerHTML;
            }
            return;
        }
        const known = new Map([...shown.children].map((child) => [child.dataset.key, child]));
        let place = null;
        for (const child of [...fresh.children]) {
            const before = known.get(child.dataset.key);
            known.delete(child.dataset.key);
            let now = before;
            if (!before) {
                now = document.importNode(child, true);
                now.classList.add("mw-new");
            } else if (markup(before) !== child.outerHTML) {
                now = document.importNode(child, true);
                keepOpen(before, now);
                const focused = before.contains(document.activeElement) ? position(before) : -1;
                before.replaceWith(now);
                now.querySelectorAll(FOCUSABLE)[focused]?.focus({preventScroll: true});
            }
            const next = place ? place.nextElementSibling : shown.firstElementChild;
            if (now !== next) {
                shown.insertBefore(now, next);
            }
            place = now;
        }
        known.forEach((child) => child.remove());
    }

    const FOCUSABLE = "a[href], summary, [tabindex]";

    function position(element) {
        return [...element.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    }

    /* What the server sent for this element, without what the page has done to it since. */
    function markup(element) {
        const copy = element.cloneNode(true);
        copy.classList.remove("mw-new");
        copy.querySelectorAll("details[open]").forEach((details) => details.removeAttribute("open"));
        copy.querySelectorAll(".mw-countdown").forEach((countdown) => countdown.remove());
        return copy.outerHTML;
    }

    function keepOpen(before, now) {
        for (const details of before.querySelectorAll("details[open][data-key]")) {
            now.querySelector(`details[data-key="${CSS.escape(details.dataset.key)}"]`)?.setAttribute("open", "");
        }
    }

    /* "in 4 s" beside each time of a next attempt. Hidden from screen readers, which read the time itself. */
    function countDown(element, texts) {
        for (const time of element.querySelectorAll("time[data-mw-until]")) {
            let countdown = time.nextElementSibling;
            if (!countdown?.classList.contains("mw-countdown")) {
                countdown = document.createElement("span");
                countdown.className = "mw-countdown";
                countdown.setAttribute("aria-hidden", "true");
                time.after(countdown);
            }
            const seconds = Math.round((new Date(time.dateTime) - Date.now()) / 1000);
            countdown.textContent =
                seconds > 0 ? texts.textIn.replace("{time}", spoken(seconds)) : texts.textNow;
        }
    }

    function spoken(seconds) {
        if (seconds < 60) {
            return `${seconds} s`;
        }
        const minutes = Math.floor(seconds / 60);
        return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    }

    const start = () =>
        document.querySelectorAll("[data-mw-journey]").forEach((element) => new Journey(element).start());
    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
}
