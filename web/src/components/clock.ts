import { t } from '@lingui/core/macro';
import { useSyncExternalStore } from 'react';

/** One clock for the page, so that all relative times move together. */
let now = 0;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

export function subscribe(listener: () => void): () => void {
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

/** The time in milliseconds since the epoch. Without listeners the clock is stopped, and the current time is returned. */
export function currentTime(): number {
  if (listeners.size === 0) now = Date.now();
  return now;
}

/**
 * The result of `of` for the time in milliseconds since the epoch, computed each second.
 *
 * A component renders again only if the result changes: "3m ago" is unchanged for a minute, in each of many rows.
 */
export function useClock<Shown extends string | number | undefined>(of: (now: number) => Shown): Shown {
  return useSyncExternalStore(subscribe, () => of(currentTime()));
}

/** The time of the last answer of a server that is silent; undefined = it answers. */
let silentSince: number | undefined;

export function setSilence(since: number | undefined): void {
  silentSince = since;
}

/** The time at which the page last knew the state of the server: relative times stop while it is silent. */
export function knownTime(now: number): number {
  return silentSince ?? now;
}

/** The whole seconds since the last answer of a silent server; 0 = it answers. */
export function silentSeconds(now: number): number {
  return silentSince === undefined ? 0 : Math.floor((now - silentSince) / 1000);
}

const DAY_S = 86_400;
const HOUR_S = 3_600;
const MINUTE_S = 60;

/** "12s", "3m", "1h 59m", "2d 4h" for a duration in seconds. The second unit is there so that 119 minutes are not 1h. */
export function shortDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [whole / DAY_S, (whole % DAY_S) / HOUR_S, (whole % HOUR_S) / MINUTE_S].map(Math.floor);
  if (days) return hours ? t`${days}d ${hours}h` : t`${days}d`;
  if (hours) return minutes ? t`${hours}h ${minutes}m` : t`${hours}h`;
  return minutes ? t`${minutes}m` : t`${whole}s`;
}
