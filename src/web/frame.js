// For pages that show results of polls in frames: gives each frame the height of its content.
// It listens only to frames of the origin that it was loaded from.
(() => {
  const { origin } = new URL(document.currentScript.src);
  addEventListener("message", (event) => {
    const { type, id, height } = event.data ?? {};
    if (event.origin !== origin || type !== "polls:height" || !(height > 0 && height < 20000)) return;
    for (const frame of document.querySelectorAll("iframe")) {
      if (frame.contentWindow === event.source && frame.src.endsWith(`/embed/${id}`)) frame.height = height;
    }
  });
})();
