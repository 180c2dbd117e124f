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
