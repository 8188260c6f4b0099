/** JSON that people write: an object, or nothing for the empty one. */

export type JsonObject = Record<string, unknown>;

/** The object as people see it in a field; the empty one as an empty field. */
export function jsonText(value: unknown): string {
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return value == null || isEmpty ? '' : JSON.stringify(value, null, 2);
}

/** The object a field stands for; throws what `jsonProblem` finds. */
export function parsedJson(text: string): JsonObject {
  const problem = jsonProblem(text);
  if (problem) throw new Error(problem);
  return text.trim() ? (JSON.parse(text) as JsonObject) : {};
}

/** Why the text is no JSON object; null = it is one. */
export function jsonProblem(text: string): string | null {
  if (!text.trim()) return null;
  try {
    const value = JSON.parse(text) as unknown;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? null : 'This must be a JSON object: { "name": value, … }';
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}
