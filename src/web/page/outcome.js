// The outcome of a count: in words and, when somebody asks, how it came about.

import { address, api, part } from "./api.js";
import { fill, h } from "./dom.js";
import { failure } from "./form.js";
import { viewerOf } from "./session.js";
import { isolated, percent, t, together } from "./texts.js";

/** What has been decided, as sentences. `question` gives the texts and the rules. */
export function outcomeInWords(question, { outcome, explanation, is_final: final }) {
  if (!outcome) return "";
  const names = namesOf(question);
  const elected = outcome.elected_choice_ids.map(names);
  const tied = outcome.tied_choice_ids.map(names);
  const closed = question.status === "closed";
  const sentences = [];
  switch (outcome.status) {
    case "no_votes":
      sentences.push(t(closed ? "nobodyChose" : "nobodyChoseYet"));
      break;
    case "no_quorum":
      sentences.push(t(closed ? "noQuorum" : "noQuorumYet", { n: question.quorum }));
      break;
    case "below_threshold":
      sentences.push(missed(question.threshold, closed));
      break;
    default:
      if (elected.length) sentences.push(electedInWords(elected, closed, explanation, names));
      if (tied.length) sentences.push(t("tiedFor", { choices: together(tied) }));
  }
  if (outcome.decided_by_lot) sentences.push(t("byLot"));
  if (outcome.provisional) sentences.push(t(final ? "provisional" : "lotLater"));
  return sentences.join(t("betweenSentences"));
}

/** Whether the outcome says more than the bars. */
export const isTelling = ({ method, status, quorum, threshold, seats }) =>
  method !== "multiple_choice" || status === "closed" || seats > 1 || quorum || threshold;

/** The results in a sentence or two, for screen readers. */
export function inWords(question, results) {
  const leading = results.choices.filter((choice) => results.leading_choice_ids.includes(choice.id));
  const count = `${t("ballots", { n: results.ballot_count })}${t("fullStop")}`;
  const and = (sentence) => `${count}${t("betweenSentences")}${sentence}`;
  if (question.method !== "multiple_choice") return and(outcomeInWords(question, results));
  if (leading.length === 0) return count;
  const [first] = leading;
  return and(leading.length === 1
    ? t("leads", { choice: first.choice_text, share: percent(first.share) })
    : t("tied", { n: leading.length }));
}

const voters = ({ ballots }) => t("voters", { n: ballots });

function electedInWords(elected, closed, explanation, names) {
  const values = { n: elected.length, choices: together(elected) };
  const plain = t(closed ? "elected" : "ahead", values);
  if (elected.length > 1 || !explanation) return plain;
  if (explanation.kind === "rounds") {
    const last = explanation.rounds.at(-1);
    const [first, second] = [...last.tallies].sort((one, other) => other.votes - one.votes);
    if (!second || names(first.choice_id) !== elected[0]) return plain;
    return t(closed ? "electedInRound" : "aheadInRound",
      { ...values, round: last.round, votes: t("votes", { n: first.votes }), against: second.votes });
  }
  if (explanation.kind === "runoff") {
    const [winner, loser] = [...explanation.preferring].sort((one) => (names(one.choice_id) === elected[0] ? -1 : 1));
    return t(closed ? "electedInRunoff" : "aheadInRunoff",
      { ...values, other: names(loser.choice_id), voters: voters(winner), others: voters(loser) });
  }
  if (explanation.kind === "pairs" && explanation.condorcet_winner_id) return `${plain}${t("betweenSentences")}${t("beatsAll", values)}`;
  return plain;
}

/** That no choice has the votes that the question asks for. */
function missed({ numerator, denominator, of, exceed }, closed) {
  const key = exceed ? "notAboveThreshold" : "belowThreshold";
  return t(closed ? key : `${key}Yet`, { part: `${numerator}/${denominator}`, of: t(of === "ballots" ? "ofBallots" : "ofVotes") });
}

/** The function that names a choice within a sentence. */
export function namesOf({ choices }) {
  const texts = new Map(choices.map(({ id, choice_text: text }) => [id, text]));
  return (id) => t("named", { choice: isolated(texts.get(id) ?? "?") });
}

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
  /** The explained results, and the results for which they were asked. */
  let latest;
  let asked;
  /** The results whose explanation is shown. */
  let shown;
  let loading = false;

  /** Whether the results need an explanation: in words once they are final, and in full on demand. */
  const wanted = () => results && !details.hidden && (details.open ? shown !== results : results.is_final && asked !== results);

  async function load() {
    if (loading) return;
    loading = true;
    try {
      while (wanted()) {
        const now = results;
        if (asked !== now) latest = await api("GET", address(`/questions/${id}/results`, { explain: "true" }), { session: viewerOf(id), signal });
        asked = now;
        fill(words, outcomeInWords(question, latest));
        if (!details.open) continue;
        const { explained } = await part(() => import("./explained.js"));
        fill(content, explained(question, latest) ?? h("p", {}, t("totalsTell")));
        shown = now;
      }
    } catch (error) {
      if (!signal.aborted) fill(content, failure(error, load, signal));
    } finally {
      loading = false;
    }
  }

  details.addEventListener("toggle", load);

  return {
    element: h("div", {}, words, details),
    show(read, seen) {
      question = read;
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
