/** The changes of a form that are not saved, and their reversal. */

import { plural, t } from '@lingui/core/macro';

/** One changed field or setting. */
export interface Change {
  name: string;
  title: string;
  before: string;
  after: string;
}

const MOST_CHARACTERS = 80;

/** The text of a value in a list of changes. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined || value === '') return t`nothing`;
  if (typeof value === 'boolean') return value ? t`yes` : t`no`;
  if (Array.isArray(value)) return value.length > 0 ? short(value.map(String).join(', ')) : t`nothing`;
  return short(typeof value === 'string' ? value : JSON.stringify(value));
}

function short(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS - 1)}…` : line;
}

/** Whether two values of JSON are equal. The database changes the order of the keys of an object. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, withSortedKeys) === JSON.stringify(b, withSortedKeys);
}

function withSortedKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The draft with a value; a value that is saved already is no change. */
export function drafted(draft: Record<string, unknown>, name: string, value: unknown, saved: unknown) {
  const others = Object.fromEntries(Object.entries(draft).filter(([each]) => each !== name));
  return isSame(value, saved) ? others : { ...others, [name]: value };
}

/** The names of saved values that have another value now. Such values are not reversed. */
export function changedSince(saved: Record<string, unknown>, present: Record<string, unknown>): string[] {
  return Object.keys(saved).filter((name) => !isSame(saved[name], present[name]));
}

/** "1 change", "3 changes". */
export function changesText(count: number): string {
  return plural(count, { one: '# unsaved change', other: '# unsaved changes' });
}
