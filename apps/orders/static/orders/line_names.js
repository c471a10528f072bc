/* Names the field in which a line's product is chosen for screen readers: Select2 draws it, and gives it no name. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const group = document.getElementById("lines-group");
    if (!group) {
        return;
    }
    const name = () => {
        for (const shown of group.querySelectorAll(".select2-selection__rendered")) {
            const select = shown.closest("td").querySelector("select");
            const chosen = select.selectedOptions[0]?.text || select.dataset.textNoneChosen;
            shown.setAttribute("aria-label", `${select.getAttribute("aria-label")}: ${chosen}`);
        }
    };
    new MutationObserver(name).observe(group, { childList: true, subtree: true });
    name();
});
