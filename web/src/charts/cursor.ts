import { useState, useSyncExternalStore } from 'react';

/** The marked time of all charts of a page, in seconds since 1970; null = no time is marked. */
export interface Cursor {
  get: () => number | null;
  set: (time: number | null) => void;
  subscribe: (listener: () => void) => () => void;
}

export function createCursor(): Cursor {
  let marked: number | null = null;
  const listeners = new Set<() => void>();
  return {
    get: () => marked,
    set: (time) => {
      if (time === marked) return;
      marked = time;
      for (const listener of listeners) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The cursor of a page. */
export function usePageCursor(): Cursor {
  return useState(createCursor)[0];
}

/** The number of the point with the marked time; null = no time is marked, or it is outside of the period. */
export function useMarked(cursor: Cursor, times: number[]): number | null {
  return indexAt(times, useSyncExternalStore(cursor.subscribe, cursor.get));
}

/** The number of the point that covers a time. `times` are the beginnings of points of the same length. */
export function indexAt(times: number[], time: number | null): number | null {
  const [first, second] = times;
  if (time === null || first === undefined || second === undefined) return null;
  const index = Math.floor((time - first) / (second - first));
  return index >= 0 && index < times.length ? index : null;
}
