import { useSyncExternalStore } from 'react';

/** One clock for the page, so that all relative times move together. */
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Milliseconds since the epoch, renewed each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

const UNITS: [string, number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
];

/** "12s", "3m", "5h", "2d" for a duration in seconds. */
export function shortDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const unit = UNITS.find(([, length]) => whole >= length);
  return unit ? `${Math.floor(whole / unit[1])}${unit[0]}` : `${whole}s`;
}
