import { t } from '@lingui/core/macro';
import { Table } from '@mantine/core';
import { replaceEqualDeep } from '@tanstack/react-query';
import { defaultRangeExtractor, type Range, useWindowVirtualizer, type Virtualizer } from '@tanstack/react-virtual';
import {
  type FocusEvent,
  type KeyboardEvent,
  memo,
  type RefObject,
  useCallback,
  useLayoutEffect,
  useState,
} from 'react';
import { Cut, isLong } from './Cut';
import { type Column, type Rank, rankOf } from './tableState';

/** The number of rows above which only those near the window are in the document. */
export const MOST_WHOLE = 60;
/** The number of rows in the document above and below the window. */
const OVERSCAN = 8;
/** The assumed height of a row until rows are measured. */
const ROW_PX = 36;
/** The number of rows before the end of the loaded ones at which more are requested. */
const AHEAD = 60;

export interface Selection<Row> {
  has: (row: Row) => boolean;
  toggle: (row: Row) => void;
  nameOf: (row: Row) => string;
}

interface Props<Row> {
  /** The position of the rows. */
  body: RefObject<HTMLTableSectionElement | null>;
  rows: Row[];
  columns: Column<Row>[];
  rowKey: (row: Row) => string;
  selection: Selection<Row> | undefined;
  /** Requests more rows; undefined = all rows are loaded. */
  onMore: (() => void) | undefined;
}

/** The rows of a table. A long table only has the rows near the window and the one with the focus. */
export function TableRows<Row>({ body, rows, columns, rowKey, selection, onMore }: Props<Row>) {
  const [focused, setFocused] = useState<number | null>(null);
  const whole = rows.length <= MOST_WHOLE;
  const { top, rowPx } = usePlace(body, !whole);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    enabled: !whole,
    estimateSize: () => rowPx ?? ROW_PX,
    measureElement: heightSeen,
    overscan: OVERSCAN,
    scrollMargin: top,
    getItemKey: useCallback((index: number) => keyAt(rows, index, rowKey), [rows, rowKey]),
    rangeExtractor: useCallback((range: Range) => withFocused(range, focused), [focused]),
  });
  const items = whole ? [] : virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? rows.length - 1;
  const wantsMore = onMore !== undefined && last >= rows.length - AHEAD;
  useLayoutEffect(() => {
    if (wantsMore) onMore();
  }, [wantsMore, onMore, rows.length]);

  const width = columns.length + (selection ? 1 : 0);
  const row = (index: number) => {
    const data = rows[index] as Row;
    return (
      <TableRow
        key={rowKey(data)}
        row={data}
        name={rowKey(data)}
        index={index}
        columns={columns}
        measure={whole ? undefined : virtual.measureElement}
        label={selection?.nameOf(data)}
        selected={selection?.has(data)}
        onToggle={selection?.toggle}
      />
    );
  };
  return (
    <Table.Tbody
      ref={body}
      onKeyDown={moveByArrow}
      onFocus={(event) => setFocused(indexOf(event))}
      onBlur={() => setFocused(null)}
    >
      {whole
        ? rows.map((_, index) => row(index))
        : items.flatMap((item, position) => {
            const gap = item.start - (items[position - 1]?.end ?? top);
            return gap > 0
              ? [<Gap key={`gap ${item.index}`} height={gap} width={width} />, row(item.index)]
              : row(item.index);
          })}
      {!whole && <Gap height={virtual.getTotalSize() - (items.at(-1)?.end ?? top) + top} width={width} />}
    </Table.Tbody>
  );
}

interface Place {
  /** The start of the rows on the page. */
  top: number;
  /** The height of most rows, for rows that are not in the document; null until rows are measured. */
  rowPx: number | null;
}

/** The position of the rows. It is measured when the height of the page changes, not during scrolling. */
function usePlace(body: RefObject<HTMLTableSectionElement | null>, wanted: boolean): Place {
  const [place, setPlace] = useState<Place>({ top: 0, rowPx: null });
  useLayoutEffect(() => {
    const element = body.current;
    if (!wanted || !element) return;
    const look = () => {
      const top = Math.round(element.getBoundingClientRect().top + window.scrollY);
      setPlace((before) =>
        before.top === top && before.rowPx !== null ? before : { top, rowPx: commonHeight(element) },
      );
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, [body, wanted]);
  return place;
}

function commonHeight(body: HTMLTableSectionElement): number | null {
  const counts = new Map<number, number>();
  for (const row of body.querySelectorAll('[data-row]')) {
    const { height } = row.getBoundingClientRect();
    counts.set(height, (counts.get(height) ?? 0) + 1);
  }
  const [common] = [...counts].sort(([, a], [, b]) => b - a);
  return common?.[0] ?? null;
}

/** The height of a row as the browser reports it after the layout. An earlier measurement would cause a second layout. */
function heightSeen(
  element: HTMLElement,
  entry: ResizeObserverEntry | undefined,
  { options, itemSizeCache }: Virtualizer<Window, HTMLElement>,
): number {
  const index = Number(element.dataset.index);
  return (
    entry?.borderBoxSize[0]?.blockSize ?? itemSizeCache.get(options.getItemKey(index)) ?? options.estimateSize(index)
  );
}

function keyAt<Row>(rows: Row[], index: number, rowKey: (row: Row) => string): string | number {
  const row = rows[index];
  return row === undefined ? index : rowKey(row);
}

function withFocused(range: Range, focused: number | null): number[] {
  const indexes = defaultRangeExtractor(range);
  if (focused === null || focused >= range.count || indexes.includes(focused)) return indexes;
  return [...indexes, focused].sort((a, b) => a - b);
}

/** The placeholder for rows that are not in the document. */
function Gap({ height, width }: { height: number; width: number }) {
  return (
    <tr aria-hidden>
      <td colSpan={width} className="row-gap" style={{ height }} />
    </tr>
  );
}

interface RowProps<Row> {
  row: Row;
  name: string;
  index: number;
  columns: Column<Row>[];
  measure: ((element: HTMLElement | null) => void) | undefined;
  /** The name of the item, for its checkbox. */
  label: string | undefined;
  selected: boolean | undefined;
  onToggle: ((row: Row) => void) | undefined;
}

/** One row. It renders again only if its data changed. */
const TableRow = memo(function TableRow<Row>(props: RowProps<Row>) {
  const { row, name, index, columns, measure, label, selected, onToggle } = props;
  return (
    <tr ref={measure} className="row" data-index={index} data-row={name} aria-rowindex={index + 2}>
      {onToggle && (
        <td data-rank="select">
          <input
            type="checkbox"
            className="row-checkbox mantine-focus-auto"
            aria-label={t`Select ${{ name: label ?? name }}`}
            checked={selected ?? false}
            onChange={() => onToggle(row)}
          />
        </td>
      )}
      {columns.map((column, position) => (
        <Cell key={column.key} column={column} rank={rankOf(column, position)} row={row} />
      ))}
    </tr>
  );
}, sameRow) as <Row>(props: RowProps<Row>) => React.JSX.Element;

interface CellProps<Row> {
  column: Column<Row>;
  rank: Rank;
  row: Row;
}

function Cell<Row>({ column, rank, row }: CellProps<Row>) {
  const { key, render, value, align, title, hideTitle } = column;
  const text = render ? '' : String(value?.(row) ?? '–');
  return (
    <td
      className={render ? undefined : 'nowrap'}
      data-rank={rank}
      data-state={key === 'status' || key === 'state' || undefined}
      data-title={hideTitle || rank === 'title' ? undefined : title}
      {...(align ? { align } : {})}
    >
      {render ? render(row) : isLong(text) ? <Cut>{text}</Cut> : text}
    </td>
  );
}

function sameRow<Row>(before: RowProps<Row>, after: RowProps<Row>): boolean {
  const { row: rowBefore, ...othersBefore } = before;
  const { row, ...others } = after;
  return (
    Object.entries(others).every(([key, value]) => othersBefore[key as keyof typeof others] === value) &&
    replaceEqualDeep(rowBefore, row) === rowBefore
  );
}

function indexOf(event: FocusEvent): number | null {
  const index = event.target.closest<HTMLElement>('[data-index]')?.dataset.index;
  return index === undefined ? null : Number(index);
}

const NEXT = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' } as const;
const REACHABLE = 'a[href], button:not(:disabled), input[type=checkbox]:not(:disabled)';

/** The arrow keys move from a link or button to the one in the row below or above. */
function moveByArrow(event: KeyboardEvent) {
  const direction = event.key === 'ArrowDown' || event.key === 'ArrowUp' ? NEXT[event.key] : undefined;
  const cell = (event.target as HTMLElement).closest('td');
  if (!direction || !cell || !event.currentTarget.contains(cell)) return;
  const place = [...cell.querySelectorAll(REACHABLE)].indexOf(event.target as Element);
  let row = cell.parentElement?.[direction];
  while (row && !row.hasAttribute('data-row')) row = row[direction];
  const same = row?.children[cell.cellIndex]?.querySelectorAll<HTMLElement>(REACHABLE);
  const target = same?.[Math.max(place, 0)] ?? same?.[0];
  if (!target) return;
  event.preventDefault();
  target.focus();
}
