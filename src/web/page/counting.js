// What the numbers beneath a question mean: the outcome in words, and how it was counted.

import { address, api } from "./api.js";
import { fill, h } from "./dom.js";
import { say } from "./form.js";
import { explained, isTelling, outcomeInWords } from "./outcome.js";
import { t } from "./texts.js";

/**
 * The outcome, and on demand its explanation. `show` takes the question and its results each time
 * that they change.
 */
export function counting(id, signal) {
  const words = h("p", { class: "outcome", dir: "auto" });
  const content = h("div", {});
  const summary = h("summary", {});
  const details = h("details", { class: "counting", hidden: true }, summary, content);
  let question;
  let results;
  /** The results that the explanation shown is of. */
  let loaded;
  let loading = false;

  /** Asks for the explanation until the latest results are explained. */
  async function load() {
    if (loading) return;
    loading = true;
    try {
      while (wanted()) {
        const asked = results;
        const latest = await api("GET", address(`/questions/${id}/results`, { explain: "true" }), { signal });
        loaded = asked;
        fill(words, outcomeInWords(question, latest));
        fill(content, explained(question, latest) ?? h("p", {}, t("totalsTell")));
      }
    } catch (error) {
      if (!signal.aborted) fill(content, h("p", { class: "error" }, say(error)));
    } finally {
      loading = false;
    }
  }

  // The words about a final count say more with the explanation.
  const wanted = () => results && results !== loaded && (details.open || results.is_final) && !details.hidden;
  details.addEventListener("toggle", load);

  return {
    element: h("div", {}, words, details),
    show(latest, seen) {
      question = latest;
      // The numbers that come with a question or with a ballot have no outcome. Results follow.
      if (seen && !seen.outcome) return;
      results = seen;
      const { outcome } = seen ?? {};
      details.hidden = !outcome || question.method === "multiple_choice" || !["decided", "tied"].includes(outcome.status);
      fill(summary, t(question.status === "closed" ? "howCounted" : "howCounts"));
      fill(words, outcome && isTelling(question) && outcomeInWords(question, seen));
      load();
    },
  };
}
