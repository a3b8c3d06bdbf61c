// What the browser keeps: for the whole site, or for one tab. Where the browser blocks this, it is
// kept until the page is left.

function storage(name) {
  const memory = new Map();
  return {
    read(key) {
      try {
        return window[name].getItem(key);
      } catch {
        return memory.get(key) ?? null;
      }
    },
    /** The keys of all texts. */
    keys() {
      try {
        return Object.keys(window[name]);
      } catch {
        return [...memory.keys()];
      }
    },
    /** Keeps a text; `null` removes it. */
    write(key, value) {
      try {
        if (value === null) window[name].removeItem(key);
        else window[name].setItem(key, value);
      } catch {
        if (value === null) memory.delete(key);
        else memory.set(key, value);
      }
    },
  };
}

export const { keys, read, write } = storage("localStorage");

/** For this tab alone. */
export const tab = storage("sessionStorage");
