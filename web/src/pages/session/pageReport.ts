/** What the keepalives of a page report about the stream that it shows. */

import type { Stats } from './usePicture';

/** The last values of a stream; null = not measured. */
export interface PageReport {
  round_trip_ms: number | null;
  frames_s: number | null;
  kbit_s: number | null;
}

/** The highest values that the server accepts. Higher values are not reported. */
const LONGEST_MS = 60_000;
const MOST_FRAMES_S = 1000;
const MOST_KBIT_S = 10_000_000;

/** The page in the frame measures the picture every second while it is visible. An older measurement is not reported. */
const FRESH_MS = 5000;

type Rates = Pick<Stats, 'frames_s' | 'kbit_s'>;

let roundTripMs: number | null = null;
let rates: Rates | null = null;
let ratesAt = 0;

const firstMeasured = new Set<() => void>();

/** Keeps the round trip to the session of this page. */
export function noteRoundTrip(ms: number | null): void {
  const isFirst = roundTripMs === null && ms !== null;
  roundTripMs = ms;
  if (isFirst) for (const listener of firstMeasured) listener();
}

/** Calls `listener` at the first measured round trip of a stream, until the returned function is called. */
export function onFirstRoundTrip(listener: () => void): () => void {
  firstMeasured.add(listener);
  return () => firstMeasured.delete(listener);
}

/** Keeps the rates of the picture, measured at the time `now` in milliseconds. */
export function noteRates(measured: Rates | null, now: number): void {
  rates = measured;
  ratesAt = now;
}

/** The report of this page at the time `now` in milliseconds. */
export function lastReport(now: number): PageReport {
  const fresh = now - ratesAt <= FRESH_MS ? rates : null;
  return {
    round_trip_ms: accepted(roundTripMs, LONGEST_MS),
    frames_s: accepted(fresh?.frames_s, MOST_FRAMES_S),
    kbit_s: accepted(fresh?.kbit_s, MOST_KBIT_S),
  };
}

function accepted(value: number | null | undefined, highest: number): number | null {
  return value != null && value >= 0 && value <= highest ? value : null;
}
