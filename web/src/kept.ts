/** Texts that this browser keeps. Some browsers keep none, e.g. in a frame of another site. */

/** The kept text; null = there is none. */
export function keptText(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a text in place of the text before; null removes it. */
export function keepText(key: string, text: string | null): void {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // The text applies to this page only.
  }
}
