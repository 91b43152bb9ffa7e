// Shows every <time> in the reader's zone, with UTC in its title; also those that htmx brings later.
"use strict";
(() => {
  const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const show = (root) => {
    for (const each of root.querySelectorAll("time[datetime]:not([data-shown])")) {
      const instant = new Date(each.dateTime);
      if (each.dateTime.includes("T") && !Number.isNaN(instant.valueOf())) {
        each.title = each.textContent;
        each.textContent = zoned.format(instant);
        each.dataset.shown = "";
      }
    }
  };
  const ready = () => {
    show(document);
    document.body.addEventListener("htmx:afterSwap", (event) => show(event.target));
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
})();
