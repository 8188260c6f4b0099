/** The period of the charts of a page. The address contains it. Times are seconds since 1970. */

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;

/** The periods that end now, by their text in the address. */
export const PRESETS = {
  '1h': HOUR_S,
  '6h': 6 * HOUR_S,
  '24h': DAY_S,
  '7d': 7 * DAY_S,
  '30d': 30 * DAY_S,
  '90d': 90 * DAY_S,
} as const;

export type Preset = keyof typeof PRESETS;
export const DEFAULT_PRESET: Preset = '24h';
/** The server stores nothing older. */
export const LONGEST_S = 90 * DAY_S;
/** A shorter period has too few points. */
export const SHORTEST_S = 5 * 60;

export interface Period {
  since: number;
  until: number;
}

/** A period that ends now, or a fixed one. */
export type Range = { preset: Preset } | Period;

function isPreset(text: string | null): text is Preset {
  return text !== null && Object.hasOwn(PRESETS, text);
}

/** The range in an address; the default if the address has none, or one that cannot be read. */
export function rangeIn(params: URLSearchParams): Range {
  const preset = params.get('range');
  if (isPreset(preset)) return { preset };
  return fixedPeriod(params.get('since'), params.get('until')) ?? { preset: DEFAULT_PRESET };
}

/** The period between two times of an address; undefined if one cannot be read. */
export function fixedPeriod(begin?: string | null, end?: string | null): Period | undefined {
  const [since, until] = [begin, end].map((time) => Date.parse(time ?? '') / 1000);
  return since !== undefined && until !== undefined && since < until ? { since, until } : undefined;
}

/** The address with another range. */
export function withRange(params: URLSearchParams, range: Range): URLSearchParams {
  const changed = new URLSearchParams(params);
  for (const name of ['range', 'since', 'until']) changed.delete(name);
  if (!('preset' in range)) {
    changed.set('since', inAddress(range.since));
    changed.set('until', inAddress(range.until));
  } else if (range.preset !== DEFAULT_PRESET) changed.set('range', range.preset);
  return changed;
}

/** A time to the second, as the api reads it. */
export function inAddress(time: number): string {
  return new Date(Math.round(time) * 1000).toISOString().replace('.000Z', 'Z');
}

/** The period of a range at the time `now`. */
export function periodOf(range: Range, now: number): Period {
  return 'preset' in range ? { since: now - PRESETS[range.preset], until: now } : range;
}

/** The local day that was `daysAgo` days before the day of `now`, until `now` at most. */
export function dayOf(now: Date, daysAgo: number): Period {
  const midnight = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime() / 1000;
  return { since: midnight(daysAgo), until: Math.min(midnight(daysAgo - 1), now.getTime() / 1000) };
}

/** A period within the stored time, of at least `SHORTEST_S`. */
export function limited({ since, until }: Period, now: number): Period {
  const center = (since + until) / 2;
  const length = Math.max(SHORTEST_S, Math.min(until - since, LONGEST_S));
  const end = Math.min(Math.max(center + length / 2, now - LONGEST_S + length), now);
  return { since: end - length, until: end };
}

/** A part of the period around a time: half of it, or with `factor` 2 twice as much. */
export function zoomed(period: Period, center: number, factor: number, now: number): Period {
  const half = ((period.until - period.since) * factor) / 2;
  return limited({ since: center - half, until: center + half }, now);
}
