// What a ballot says, as the API has it: `choice_ids` (a set, or a ranking with the best first) or
// `scores`.

/** What the ballots of a method are: `set`, `ranking` or `scores`. */
export const kindOf = (method) => KINDS[method] ?? "ranking";

const KINDS = { multiple_choice: "set", score: "scores", star: "scores" };

/** The part of a ballot that the voter decides. */
export const paperOf = ({ choice_ids, scores }) => (scores ? { scores } : { choice_ids });

/** The ids of the choices that it names. */
export const named = ({ choice_ids, scores }) => choice_ids ?? scores.map(({ choice_id: id }) => id);

/** The part of it that is about these choices. */
export function within({ choice_ids, scores }, choices) {
  const exists = (id) => choices.some((choice) => choice.id === id);
  return scores
    ? { scores: scores.filter(({ choice_id: id }) => exists(id)) }
    : { choice_ids: choice_ids.filter(exists) };
}

/** Whether both say the same on a question of this kind. Only in a ranking does the order matter. */
export function agree(kind, one, other) {
  const text = ({ choice_ids, scores }) => {
    const marks = choice_ids ?? scores.map(({ choice_id: id, score }) => `${id} ${score}`);
    return JSON.stringify(kind === "ranking" ? marks : [...marks].sort());
  };
  return text(one) === text(other);
}
