import { type Cell, type Column, textOf } from './tableState';

export type ExportFormat = 'csv' | 'json';

/** A byte order mark, with which spreadsheets read the file as UTF-8. */
const BOM = '\ufeff';

/** The rows as CSV: the shown columns of the list, with their titles. */
export function csvOf<Row>(columns: Column<Row>[], rows: Row[]): string {
  const valued = columns.filter(({ value, text }) => value ?? text);
  const lines = [valued.map(({ title }) => title), ...rows.map((row) => valued.map((column) => textOf(column, row)))];
  return BOM + lines.map((cells) => `${cells.map(fieldOf).join(',')}\r\n`).join('');
}

/** The content as JSON, with all fields of the API. */
export function jsonOf(content: unknown): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** A field of CSV. Spreadsheets would run a text that begins like a formula, so it gets an apostrophe. */
function fieldOf(value: Cell): string {
  const text = String(value ?? '');
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Offers a file to the user. */
export function download(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address));
}
