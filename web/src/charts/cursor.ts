import { useState, useSyncExternalStore } from 'react';

/** The marked point of all charts of a page, as its number; null = no point is marked. */
export interface Cursor {
  get: () => number | null;
  set: (index: number | null) => void;
  subscribe: (listener: () => void) => () => void;
}

export function createCursor(): Cursor {
  let marked: number | null = null;
  const listeners = new Set<() => void>();
  return {
    get: () => marked,
    set: (index) => {
      if (index === marked) return;
      marked = index;
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

/** The number of the marked point. */
export function useMarked(cursor: Cursor): number | null {
  return useSyncExternalStore(cursor.subscribe, cursor.get);
}
