import { type Cell, type Column, textOf, wordsOf } from './tableState';

export interface Completion {
  /** The text of the filter after the choice. */
  filter: string;
  /** The word that the choice completes to. */
  word: string;
  /** The title of the column. */
  note: string;
}

/** The maximum number of completions, and of rows whose values are read. */
const MOST = 8;
const MOST_ROWS = 2000;

const LAST_WORD = /(?:[^\s"]|"[^"]*"?)*$/;
const IS_TIME = /^\d{4}-\d\d-\d\dT/;

/**
 * The columns, or the values of one column, that complete the last word of a filter. `hasAll`: without a word, these are
 * all columns.
 */
export function completionsOf<Row>(filter: string, columns: Column<Row>[], rows: Row[], hasAll = false): Completion[] {
  const last = LAST_WORD.exec(filter)?.[0] ?? '';
  const [word = ''] = wordsOf(last.toLowerCase());
  const before = filter.slice(0, filter.length - last.length);
  const colon = word.indexOf(':');
  if ((!word && !hasAll) || colon === 0) return [];
  if (colon < 0)
    return columns
      .filter(({ key, value, uncompleted }) => value && !uncompleted && key.startsWith(word))
      .slice(0, word ? MOST : undefined)
      .map(({ key, title }) => ({ filter: `${before}${key}:`, word: `${key}:`, note: title }));
  const column = columns.find(({ key, value }) => value && key.startsWith(word.slice(0, colon)));
  if (!column) return [];
  const part = word.slice(colon + 1);
  return valuesOf(column, rows, part).map((value) => {
    const completed = `${column.key}:${/\s/.test(value) ? `"${value}"` : value}`;
    return { filter: `${before}${completed} `, word: completed, note: column.title };
  });
}

/** The different values of a column that contain `part` and differ from it. */
function valuesOf<Row>(column: Column<Row>, rows: Row[], part: string): string[] {
  const values = new Set<string>();
  for (const row of rows.slice(0, MOST_ROWS)) {
    const value = wordOf(textOf(column, row));
    if (value && value.toLowerCase() !== part && value.toLowerCase().includes(part)) values.add(value);
  }
  return [...values].sort((a, b) => a.localeCompare(b, undefined, { numeric: true })).slice(0, MOST);
}

/** A value that can be part of a filter; times and texts with quotation marks cannot. */
function wordOf(cell: Cell): string {
  const text = String(cell ?? '').trim();
  return text.length > 60 || text.includes('"') || IS_TIME.test(text) ? '' : text;
}
