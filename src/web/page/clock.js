// The server's time, which decides whether voting is open, whatever the visitor's clock shows.

/** How far the server's clock is ahead of the visitor's, in milliseconds. */
let ahead = 0;

/** Reads the server's time from an answer. The `Date` header leaves out the fraction of a second. */
export function setClock(answer) {
  const date = Date.parse(answer.headers.get("Date"));
  if (!Number.isNaN(date)) ahead = date + 500 - Date.now();
}

/** The server's time, in milliseconds since 1970. */
export const now = () => Date.now() + ahead;
