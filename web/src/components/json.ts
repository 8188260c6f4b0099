/** JSON in text fields: an object, or an empty text for the empty object. */

import { t } from '@lingui/core/macro';

const EXAMPLE = '{ "name": value, … }';

export type JsonObject = Record<string, unknown>;

/** The text of an object in a field; an empty text for the empty object. */
export function jsonText(value: unknown): string {
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return value == null || isEmpty ? '' : JSON.stringify(value, null, 2);
}

/** The object of a field. Throws the error of `jsonProblem`. */
export function parsedJson(text: string): JsonObject {
  const problem = jsonProblem(text);
  if (problem) throw new Error(problem);
  return text.trim() ? (JSON.parse(text) as JsonObject) : {};
}

/** The reason why the text is not a JSON object; null = it is one. */
export function jsonProblem(text: string): string | null {
  if (!text.trim()) return null;
  try {
    const value = JSON.parse(text) as unknown;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? null : t`This must be a JSON object: ${EXAMPLE}`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return t`This is not JSON: ${reason}`;
  }
}
