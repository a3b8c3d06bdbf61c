// How an outcome came about: round by round, pair by pair, by points, or in a run-off.

import { fill, h } from "./dom.js";
import { namesOf } from "./outcome.js";
import { bars } from "./results.js";
import { number, t, together } from "./texts.js";

/** How long each round is shown while the rounds play, in milliseconds. */
const ROUND_SHOWN = 2200;

/** The explanation in results, or null where the totals tell all. */
export function explained(question, { explanation }) {
  const kinds = { rounds, pairs, points, runoff };
  return explanation ? kinds[explanation.kind](explanation, question, namesOf(question)) : null;
}

/** The rounds, one at a time. */
function rounds({ quota, rounds: all }, { choices }, names) {
  const list = bars(choices);
  const title = h("h2", { "aria-live": "polite" });
  const events = h("ul", { class: "events" });
  const slide = h("input", {
    type: "range", min: "1", max: String(all.length), step: "1", value: String(all.length), "aria-label": t("roundSlider"),
    oninput: () => {
      stop();
      show(Number(slide.value));
    },
  });
  const turn = (by) => {
    stop();
    show(Number(slide.value) + by);
  };
  const back = h("button", { type: "button", onclick: () => turn(-1) }, t("previousRound"));
  const next = h("button", { type: "button", onclick: () => turn(1) }, t("nextRound"));
  const play = h("button", { type: "button", onclick: () => (timer ? stop() : start()) }, t("playRounds"));
  let timer;

  function start() {
    show(1);
    fill(play, t("pauseRounds"));
    timer = setInterval(() => {
      const at = Number(slide.value);
      if (at >= all.length || !play.isConnected) stop();
      else show(at + 1);
    }, ROUND_SHOWN);
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    fill(play, t("playRounds"));
  }

  function show(at) {
    slide.value = String(at);
    back.disabled = at <= 1;
    next.disabled = at >= all.length;
    const one = all[at - 1];
    const sum = one.tallies.reduce((sum, { votes }) => sum + votes, 0) || 1;
    const elected = all.slice(0, at).flatMap((round) => round.elected_choice_ids);
    const standing = new Set(one.tallies.map(({ choice_id: id }) => id));
    fill(title, t("roundOf", { n: at, of: all.length }));
    list.show({
      choices: one.tallies.map(({ choice_id: id, votes }) => ({ id, votes, share: votes / sum })),
      leading_choice_ids: elected,
    });
    [...list.list.children].forEach((row, index) => row.classList.toggle("out", !standing.has(choices[index].id)));
    fill(events, eventsOf(one, quota, names).map((text) => h("li", { dir: "auto" }, text)));
  }

  show(all.length);
  return h("div", { class: "rounds" },
    title, quota !== undefined && h("p", { class: "hint" }, t("quotaIs", { n: quota })),
    list.list, events,
    all.length > 1 && h("div", { class: "steps" }, back, slide, next, play));
}

/** What happens in a round. */
function eventsOf({ tallies, elected_choice_ids: elected, eliminated_choice_ids: eliminated, transfers, exhausted, tie_broken_by: tie }, quota, names) {
  const votesOf = new Map(tallies.map(({ choice_id: id, votes }) => [id, votes]));
  const moves = (ids) => {
    const parts = transfers.filter(({ from_choice_id: from }) => ids.includes(from)).map(({ to_choice_id: to, votes }) =>
      t(to ? "votesTo" : "votesLost", { votes: number(votes), choice: to && names(to) }));
    return parts.length ? `${t("betweenSentences")}${t("transferred", { parts: parts.join(t("betweenParts")) })}` : "";
  };
  const said = (key, ids) => ids.length &&
    t(key, { n: ids.length, choices: together(ids.map(names)), votes: t("votes", { n: votesOf.get(ids[0]) ?? 0 }) }) + moves(ids);
  return [
    said(quota === undefined ? "wins" : "isElected", elected),
    said("isEliminated", eliminated),
    exhausted > 0 && t("exhausted", { n: exhausted }),
    tie && t("tieBroken", { how: t(`tie_${tie}`) }),
  ].filter(Boolean);
}

/** Every choice against every other. */
function pairs({ pairs: all, condorcet_winner_id: winner }, { choices }, names) {
  const textOf = (id) => choices.find((choice) => choice.id === id)?.choice_text ?? "?";
  const head = (text) => h("th", { scope: "col" }, text);
  return h("div", { class: "pairs" },
    h("p", {}, winner ? t("condorcet", { choice: names(winner) }) : t("noCondorcet")),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("pairsTable") },
      h("table", {},
        h("thead", {}, h("tr", {}, head(t("preferred")), head(t("to")), head(t("forAgainst")), head(t("counts")))),
        h("tbody", {}, all.map((pair) => h("tr", { class: !pair.locked && "out" },
          h("td", { dir: "auto" }, textOf(pair.winner_id)), h("td", { dir: "auto" }, textOf(pair.loser_id)),
          h("td", { class: "figure" }, `${number(pair.for)} : ${number(pair.against)}`),
          h("td", {}, pair.locked ? t("yes") : pair.for === pair.against ? t("even") : t("circle"),
            pair.tie_broken_by && h("span", { class: "hint" }, ` ${t("tie_lot")}`))))))));
}

/** The points of the Borda count. */
function points({ totals }, { choices }) {
  const most = Math.max(...totals.map(({ points }) => points), 1);
  const list = bars(choices, { count: "pointCount", share: false });
  const best = totals.filter(({ points }) => points === most).map(({ choice_id: id }) => id);
  list.show({
    choices: totals.map(({ choice_id: id, points }) => ({ id, votes: points, share: points / most })),
    leading_choice_ids: best,
  });
  return h("div", {}, h("p", { class: "hint" }, t("pointsAre")), list.list);
}

/** The two finalists of STAR voting. */
function runoff({ preferring, no_preference: neither, tie_broken_by: tie }, { choices }, names) {
  const ballots = preferring.reduce((sum, { ballots }) => sum + ballots, 0);
  const sum = ballots + neither || 1;
  const finalists = preferring.map(({ choice_id: id }) => choices.find((choice) => choice.id === id)).filter(Boolean);
  const list = bars(finalists);
  const most = Math.max(...preferring.map(({ ballots }) => ballots));
  list.show({
    choices: preferring.map(({ choice_id: id, ballots }) => ({ id, votes: ballots, share: ballots / sum })),
    leading_choice_ids: preferring.filter(({ ballots }) => ballots === most).map(({ choice_id: id }) => id),
  });
  return h("div", {},
    h("p", { class: "hint" }, t("runoffIs", { choices: together(finalists.map(({ id }) => names(id))) })),
    list.list,
    h("p", {}, t("noPreference", { n: neither })),
    tie && h("p", {}, t("tieBroken", { how: t(`tie_${tie}`) })));
}
