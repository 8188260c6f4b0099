/** Numbers and words as people read them, in the language of the console. */

import { plural } from '@lingui/core/macro';
import { locale } from '../language';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A size in bytes with a unit of the decimal system, e.g. "1.2 GB". */
export function bytes(size: number): string {
  const step = size > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  return `${trimmed(size / 1000 ** step)} ${UNITS[step] ?? ''}`;
}

/** A size in bytes with two or three digits, e.g. "1.2 GB" or "650 MB". */
export function bytesShort(size: number): string {
  const step = size >= 1 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  const value = size / 1000 ** step;
  return `${decimal(value, value < 100 ? 1 : 0)} ${UNITS[step] ?? ''}`;
}

/** Formats by language and decimal places. To create one takes longer than to format a hundred numbers. */
const FORMATS = new Map<string, Intl.NumberFormat>();

/** A number with at most `most` and at least `least` decimal places. */
export function decimal(value: number, most: number, least = 0): string {
  const key = `${locale()} ${most} ${least}`;
  let format = FORMATS.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale(), { maximumFractionDigits: most, minimumFractionDigits: least });
    FORMATS.set(key, format);
  }
  return format.format(value);
}

/** A data rate in kilobits per second as "900 kbit/s", or as "2.4 Mbit/s". */
export function bitRate(kbit_s: number): string {
  return kbit_s < 999.5 ? `${Math.round(kbit_s)} kbit/s` : `${decimal(kbit_s / 1000, 1, 1)} Mbit/s`;
}

/** At most one decimal place. */
export function trimmed(value: number): string {
  return decimal(value, 1);
}

/** At most two decimal places, for CPU cores. */
export function cores(value: number): string {
  return decimal(value, 2);
}

/** At most three decimal places, for hours. */
export function hours(value: number): string {
  return decimal(value, 3);
}

/** Milliseconds with two or three digits as "12.3 ms" or "870 ms", or as "25.0 s" from one second. */
export function milliseconds(value: number): string {
  if (value >= 999.5) return `${decimal(value / 1000, 1, 1)} s`;
  return `${value < 100 ? decimal(value, 1, 1) : decimal(value, 0)} ms`;
}

/** A share from 0 to 1 as "66.7 %"; rounded, but 100 % means all and 0 % none. */
export function percent(share: number): string {
  const rounded = Math.round(share * 1000) / 10;
  const shown = share > 0 && share < 1 ? Math.min(99.9, Math.max(0.1, rounded)) : rounded;
  return `${trimmed(shown)}\u00a0%`;
}

/** "1 session", "3 sessions", "2 misses". */
export function counted(count: number | string, noun: string, plural = `${noun}s`): string {
  return `${count} ${String(count) === '1' ? noun : plural}`;
}

/** The label of a choice for a word of the interface: "In use", "On demand". */
export function titled(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The nouns with which numbers of the server have units. */
const NOUNS: Record<string, (count: number) => string> = {
  attempts: (count) => plural(count, { one: 'attempt', other: 'attempts' }),
  characters: (count) => plural(count, { one: 'character', other: 'characters' }),
  cores: (count) => plural(count, { one: 'core', other: 'cores' }),
  days: (count) => plural(count, { one: 'day', other: 'days' }),
  hours: (count) => plural(count, { one: 'hour', other: 'hours' }),
  leases: (count) => plural(count, { one: 'lease', other: 'leases' }),
  minutes: (count) => plural(count, { one: 'minute', other: 'minutes' }),
  rows: (count) => plural(count, { one: 'row', other: 'rows' }),
  seconds: (count) => plural(count, { one: 'second', other: 'seconds' }),
  sessions: (count) => plural(count, { one: 'session', other: 'sessions' }),
};

/** The unit after this number: "5 attempts", "1 attempt", "30 s". */
export function unitOf(value: unknown, unit: string): string {
  return NOUNS[unit]?.(value === '' ? NaN : Number(value)) ?? unit;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The first part of a UUID, which distinguishes the items of a list. Other ids are unchanged. */
export function shortId(id: string): string {
  return isUuid(id) ? id.slice(0, 8) : id;
}
