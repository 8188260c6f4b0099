/** The longest round trip that the server accepts. A longer one is not reported. */
const LONGEST_MS = 60_000;

let last: number | null = null;

/** Keeps the round trip to the session of this page; null = not measured. */
export function noteRoundTrip(ms: number | null): void {
  last = ms !== null && ms >= 0 && ms <= LONGEST_MS ? ms : null;
}

/** The last round trip, which keepalives report. */
export function lastRoundTrip(): number | null {
  return last;
}
