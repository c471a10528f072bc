/* Keeps the progress of a replay up to date on a problem's page, while one is under way. */
"use strict";

{
    const PAUSE = 1000; // milliseconds between two looks
    let element = null;

    const isRunning = () => element.querySelector("[data-mw-running]")?.dataset.mwRunning === "true";

    const look = async () => {
        try {
            const response = await fetch(element.dataset.mwProgress, { credentials: "same-origin" });
            if (response.ok && !response.redirected) {
                element.innerHTML = await response.text();
            }
        } catch {
            // the next look may succeed; the page keeps what it showed
        }
        if (isRunning()) {
            setTimeout(look, PAUSE);
        } else {
            location.reload(); // numbers and forms have changed, too
        }
    };

    // The script is in the page's head: what it looks for comes after it.
    document.addEventListener("DOMContentLoaded", () => {
        element = document.getElementById("mw-progress");
        if (element && isRunning()) {
            setTimeout(look, PAUSE);
        }
    });
}
