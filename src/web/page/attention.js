// Whether anybody can see a page or a frame. What nobody sees need not be kept up to date.

/**
 * Calls `work` when the page is visible, and again whenever it becomes visible again. The signal
 * that `work` is given is aborted when the page is hidden, and with `signal`. With `element`, the
 * element has to be in view, too: in a frame that is scrolled out of view it is not.
 */
export function whileVisible({ element, signal }, work) {
  let inView = !element;
  let working = null;
  const decide = () => {
    const visible = inView && !document.hidden && !signal.aborted;
    if (visible === Boolean(working)) return;
    if (visible) {
      working = new AbortController();
      work(working.signal);
    } else {
      working.abort(new DOMException("not visible", "AbortError"));
      working = null;
    }
  };
  document.addEventListener("visibilitychange", decide, { signal });
  signal.addEventListener("abort", decide);
  if (element) {
    const observer = new IntersectionObserver((entries) => {
      inView = entries.at(-1).isIntersecting;
      decide();
    });
    observer.observe(element);
    signal.addEventListener("abort", () => observer.disconnect());
  }
  decide();
}
