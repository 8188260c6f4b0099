/** What a form sends, and what it makes of the answer. */

import { ApiError, messageOf } from '../api/client';

/** Those of `values` that differ from what they were: what is not changed is not sent. */
export function changed<Values extends object>(before: Values, values: Values): Partial<Values> {
  const differs = ([name, value]: [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(before[name as keyof Values]);
  return Object.fromEntries(Object.entries(values).filter(differs)) as Partial<Values>;
}

/** What the server warns of in what it saved: its `warning`, or its `warnings`. */
export function warningsOf(saved: unknown): string[] {
  if (typeof saved !== 'object' || saved === null) return [];
  const { warning, warnings } = saved as { warning?: unknown; warnings?: unknown };
  const all: unknown[] = [warning, ...(Array.isArray(warnings) ? (warnings as unknown[]) : [])];
  return all.filter((each) => typeof each === 'string' && each !== '') as string[];
}

/** Why the server refused fields that the form has, by field. */
export function errorsOf(values: object, error: unknown): Record<string, string> {
  const fields = error instanceof ApiError ? error.fields : {};
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name in values));
}

/** The sentence above the buttons; where every refused field is marked, it only points there. */
export function sentenceOf(values: object, error: unknown): string {
  const refused = error instanceof ApiError ? Object.keys(error.fields).length : 0;
  const marked = Object.keys(errorsOf(values, error)).length;
  return marked > 0 && marked === refused ? 'Correct the marked fields.' : messageOf(error);
}
