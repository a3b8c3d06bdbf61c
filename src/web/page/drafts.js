// Drafts: what is written into a long form is kept in this browser until it is sent or discarded.

import { accountId } from "./session.js";
import { keys, read, write } from "./store.js";

const PREFIX = "polls.draft.";

/** The draft that the user has at this address. */
export function draftHere() {
  const key = `${PREFIX}${accountId()}${location.pathname}${location.search}`;
  return {
    read() {
      try {
        return JSON.parse(read(key));
      } catch {
        return null;
      }
    },
    write: (values) => write(key, JSON.stringify(values)),
    discard: () => write(key, null),
  };
}

/** Discards all drafts of the user. */
export function discardAll() {
  const own = `${PREFIX}${accountId()}`;
  for (const key of keys()) if (key.startsWith(own)) write(key, null);
}
