// Times in the reader's own zone and manner; whoever runs no scripts reads UTC.
(() => {
  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  function localize(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const shown = format.format(new Date(element.dateTime));
      if (element.textContent !== shown) {
        element.title = element.dateTime;
        element.textContent = shown;
      }
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    localize(document);
    // Pieces of page that come later: whatever brings them, they pass here.
    new MutationObserver(() => localize(document)).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
})();

// What is live connects again by itself once it was connected; while nobody answers at first, it is told to here.
(() => {
  function again({ target }) {
    if (target instanceof Element && target.hasAttribute("hx-sse:connect")) {
      setTimeout(() => htmx.trigger(target, "again"), 500 + 1000 * Math.random());
    }
  }

  document.addEventListener("htmx:error", again);
  document.addEventListener("htmx:response:error", (event) => {
    if (event.detail.ctx.response.status >= 500) again(event);
  });
})();
