/** The request of a form, and the errors and warnings of the answer. */

import { t } from '@lingui/core/macro';
import { ApiError, messageOf } from '../api/client';

/** The `values` that were changed. Unchanged values are not sent. */
export function changed<Values extends object>(before: Values, values: Values): Partial<Values> {
  const differs = ([name, value]: [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(before[name as keyof Values]);
  return Object.fromEntries(Object.entries(values).filter(differs)) as Partial<Values>;
}

/** The `warning` or the `warnings` of a saved object. */
export function warningsOf(saved: unknown): string[] {
  if (typeof saved !== 'object' || saved === null) return [];
  const { warning, warnings } = saved as { warning?: unknown; warnings?: unknown };
  const all: unknown[] = [warning, ...(Array.isArray(warnings) ? (warnings as unknown[]) : [])];
  return all.filter((each) => typeof each === 'string' && each !== '') as string[];
}

/** The reasons why the server refused fields of the form, by field. */
export function errorsOf(values: object, error: unknown): Record<string, string> {
  const fields = error instanceof ApiError ? error.fields : {};
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name in values));
}

/** The sentence above the buttons. If all refused fields are marked, it only refers to them. */
export function sentenceOf(values: object, error: unknown): string {
  const refused = error instanceof ApiError ? Object.keys(error.fields).length : 0;
  const marked = Object.keys(errorsOf(values, error)).length;
  return marked > 0 && marked === refused ? t`Correct the marked fields.` : messageOf(error);
}
