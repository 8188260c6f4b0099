import { t } from '@lingui/core/macro';
import type { ReactNode } from 'react';
import { useDebouncedCallback } from '@mantine/hooks';
import { useCallback, useEffect, useRef, useState } from 'react';
import { changed, useAddress } from './address';

/** The pause after the last letter before the server is requested and the address is changed. */
export const TYPING_MS = 200;

/** Filter and order of a table. They are in the address, so that a reload, a link and "back" keep them. */
export interface TableState {
  filter: string;
  /** The column of the order, and whether it is descending. */
  sort: string | null;
  descending: boolean;
  setFilter: (text: string) => void;
  /** Orders by a column, or turns its order around. `highestFirst`: the first order is descending. */
  toggleSort: (column: string, highestFirst?: boolean) => void;
}

/**
 * A text of a field that is also in the address under `name`.
 *
 * The field shows the state of the page, because the address is updated later and would lose letters.
 */
export function useAddressText(name: string): [string, (text: string) => void] {
  const address = useAddress();
  const written = address.get(name) ?? '';
  const [text, setText] = useState(written);
  const sent = useRef(written);
  const write = useDebouncedCallback((next: string) => {
    sent.current = next;
    address.set({ [name]: next }); // renders all links of the page again
  }, TYPING_MS);
  useEffect(() => {
    if (written === sent.current) return; // the text that was entered here
    sent.current = written;
    setText(written);
  }, [written]);
  const change = useCallback(
    (next: string) => {
      setText(next);
      write(next);
    },
    [write],
  );
  return [text, change];
}

/** The current address, which may be newer than that of the router, with one changed parameter. */
export function withParam(name: string, value: string): URLSearchParams {
  return changed(location.search, { [name]: value });
}

/** `name` distinguishes the tables of one page; the first table has none. */
export function useTableState(initialSort: string | null, name = ''): TableState {
  const address = useAddress();
  const written = address.get(`${name}sort`) ?? initialSort;
  const descending = written?.startsWith('-') ?? false;
  const sort = written ? written.replace(/^-/, '') : null;
  const [filter, setFilter] = useAddressText(`${name}q`);
  const toggleSort = (column: string, highestFirst = false) => {
    const isDescending = sort === column ? !descending : highestFirst;
    address.set({ [`${name}sort`]: `${isDescending ? '-' : ''}${column}` });
  };
  return { filter, sort, descending, setFilter, toggleSort };
}

/** The selected rows, among the shown ones. Another filter clears the selection. */
export function useSelection<Row>(rows: Row[], keyOf: (row: Row) => string, filter: string) {
  const [chosen, setChosen] = useState({ filter, keys: new Set<string>() });
  const keys = chosen.filter === filter ? chosen.keys : new Set<string>();
  const selected = keys.size > 0 ? rows.filter((row) => keys.has(keyOf(row))) : [];
  const choose = (next: Iterable<string>) => setChosen({ filter, keys: new Set(next) });
  const named = useRef(keyOf);
  named.current = keyOf;
  const toggle = useCallback(
    (row: Row) =>
      setChosen((before) => {
        const next = new Set(before.filter === filter ? before.keys : []);
        const key = named.current(row);
        if (!next.delete(key)) next.add(key);
        return { filter, keys: next };
      }),
    [filter],
  );
  return {
    rows: selected,
    has: (row: Row) => keys.has(keyOf(row)),
    toggle,
    toggleAll: () => choose(selected.length === rows.length ? [] : rows.map(keyOf)),
    selectAll: () => choose(rows.map(keyOf)),
    clear: () => choose([]),
  };
}

/** The text of a selection: "3 selected", or "100 of 540 selected" while not all rows are loaded. */
export function selectedText(selected: number, total: string | undefined, isWhole: boolean): string {
  if (isWhole) return t`${selected} selected`;
  return total === undefined ? t`${selected} selected; more rows match` : t`${selected} of ${total} selected`;
}

export type Cell = string | number | boolean | null | undefined;

export interface Column<Row> {
  /** The name of the column in the address and in the filter (`zone:eu`). */
  key: string;
  title: string;
  /** The title is visible to screen readers only. */
  hideTitle?: boolean;
  /** The value for order and filter. Without it, the column supports neither. */
  value?: (row: Row) => Cell;
  /** The server cannot order this list by the column. */
  unordered?: boolean;
  /** The filter offers no values of the column. */
  uncompleted?: boolean;
  /** The first order by this column is descending. */
  highestFirst?: boolean;
  /** The shown content; without it the value. */
  render?: (row: Row) => ReactNode;
  align?: 'right';
  width?: number | string;
  /** The space that later rows of a long list need, if the first ones need less. */
  minWidth?: number;
  /** The text in an export and in the completion of the filter, if it is not the value. */
  text?: (row: Row) => Cell;
  /** The importance of the column. The default is that of `rankOf`. */
  rank?: Rank;
  /** The column is hidden until the user chooses it. */
  optional?: boolean;
}

/**
 * The importance of a column: the title of a card on a small screen; shown on cards and beside an open panel; or shown
 * only in a table with enough space.
 */
export type Rank = 'title' | 'main' | 'more';

/** The columns that show the state of an item, or its reason. */
const MAIN = new Set(
  'enabled error launches level message note outcome reason reasons result state status time user value'.split(' '),
);

/** The importance of the column at `index`: the first one is the title; states, reasons and actions are important. */
export function rankOf(column: Pick<Column<never>, 'rank' | 'key' | 'hideTitle'>, index: number): Rank {
  return column.rank ?? (index === 0 ? 'title' : column.hideTitle || MAIN.has(column.key) ? 'main' : 'more');
}

/** Whether the user can hide the column. */
export function canHide(column: Pick<Column<never>, 'rank' | 'key' | 'hideTitle'>, index: number): boolean {
  return !column.hideTitle && rankOf(column, index) !== 'title';
}

/** The columns to show: the `chosen` ones or the default ones. `narrow`: only the important ones. */
export function shownColumns<Row>(columns: Column<Row>[], chosen: string[] | null, narrow: boolean): Column<Row>[] {
  return columns.filter((column, index) => {
    if (narrow && rankOf(column, index) === 'more') return false;
    return !canHide(column, index) || (chosen ? chosen.includes(column.key) : !column.optional);
  });
}

/** The columns without the last `count` of those that are shown only in a table with enough space. */
export function withoutLast<Row>(columns: Column<Row>[], count: number): Column<Row>[] {
  const more = columns.filter((column, index) => rankOf(column, index) === 'more');
  const dropped = new Set(count > 0 ? more.slice(-count) : []);
  return columns.filter((column) => !dropped.has(column));
}

/** The keys of the shown columns that the user can hide. */
export function shownKeys<Row>(columns: Column<Row>[], chosen: string[] | null): string[] {
  const hideable = new Set(columns.filter(canHide));
  return shownColumns(columns, chosen, false).flatMap((column) => (hideable.has(column) ? [column.key] : []));
}

/** The text of a cell in an export and in the completion of the filter. */
export function textOf<Row>(column: Column<Row>, row: Row): Cell {
  return (column.text ?? column.value)?.(row);
}

/** The words of a filter. `"two words"` and `zone:"two words"` are one word each. */
export function wordsOf(filter: string): string[] {
  return (filter.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? []).map((word) => word.replaceAll('"', '')).filter(Boolean);
}

/**
 * Whether a row passes a filter. Every word must occur in the row; `zone:eu` only searches the column whose key starts
 * with `zone`.
 */
export function passes(filter: string, cells: Record<string, Cell>): boolean {
  const words = wordsOf(filter.toLowerCase());
  const has = (value: Cell, part: string) =>
    String(value ?? '')
      .toLowerCase()
      .includes(part);
  return words.every((word) => {
    const colon = word.indexOf(':');
    const column = colon > 0 && Object.keys(cells).find((name) => name.startsWith(word.slice(0, colon)));
    return column ? has(cells[column], word.slice(colon + 1)) : Object.values(cells).some((value) => has(value, word));
  });
}

/** The order of two cells: numbers by size, others as text in the language of the user, empty cells last. */
export function compare(a: Cell, b: Cell): number {
  if (a == null || b == null) return a == null ? (b == null ? 0 : 1) : -1;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** The rows that pass the filter, in the order of the column. Columns without a value are ignored. */
export function arranged<Row>(
  data: Row[],
  columns: { key: string; value?: (row: Row) => Cell }[],
  state: Pick<TableState, 'filter' | 'sort' | 'descending'>,
): Row[] {
  const valued = columns.filter((column) => column.value);
  const cells = (row: Row) => Object.fromEntries(valued.map((column) => [column.key, column.value?.(row)]));
  const rows = state.filter ? data.filter((row) => passes(state.filter, cells(row))) : [...data];
  const by = valued.find((column) => column.key === state.sort)?.value;
  if (!by) return rows;
  const direction = state.descending ? -1 : 1;
  return rows.sort((a, b) => compare(by(a), by(b)) * direction);
}
