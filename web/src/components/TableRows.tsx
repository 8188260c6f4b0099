import { Checkbox, Table } from '@mantine/core';
import { defaultRangeExtractor, type Range, useWindowVirtualizer } from '@tanstack/react-virtual';
import {
  type FocusEvent,
  type KeyboardEvent,
  memo,
  type RefObject,
  useCallback,
  useLayoutEffect,
  useState,
} from 'react';
import type { Column } from './DataTable';

/** Tables of more rows have only those in the document that are near the window. */
export const MOST_WHOLE = 60;
/** Rows above and below the window that are there already. */
const OVERSCAN = 12;
/** Until a row has been measured. */
const ROW_PX = 54;
/** So many rows before the end of what is loaded, more are asked for. */
const AHEAD = 60;

export interface Selection<Row> {
  has: (row: Row) => boolean;
  toggle: (row: Row) => void;
}

interface Props<Row> {
  /** Where the rows stand. */
  body: RefObject<HTMLTableSectionElement | null>;
  rows: Row[];
  columns: Column<Row>[];
  rowKey: (row: Row) => string;
  selection: Selection<Row> | undefined;
  /** Asks for more rows; undefined = these are all. */
  onMore: (() => void) | undefined;
}

/** The rows of a table. Of long tables those near the window alone, and the one that has the focus. */
export function TableRows<Row>({ body, rows, columns, rowKey, selection, onMore }: Props<Row>) {
  const [focused, setFocused] = useState<number | null>(null);
  const [top, setTop] = useState(0);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    enabled: rows.length > MOST_WHOLE,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    scrollMargin: top,
    getItemKey: (index) => keyAt(rows, index, rowKey),
    rangeExtractor: useCallback((range: Range) => withFocused(range, focused), [focused]),
  });
  // eslint-disable-next-line react-hooks/exhaustive-deps -- after each drawing; the same place again draws nothing
  useLayoutEffect(() => {
    const now = Math.round((body.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
    setTop(now); // what stands above may have grown or gone
  });
  const whole = rows.length <= MOST_WHOLE;
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

function keyAt<Row>(rows: Row[], index: number, rowKey: (row: Row) => string): string | number {
  const row = rows[index];
  return row === undefined ? index : rowKey(row);
}

function withFocused(range: Range, focused: number | null): number[] {
  const indexes = defaultRangeExtractor(range);
  if (focused === null || focused >= range.count || indexes.includes(focused)) return indexes;
  return [...indexes, focused].sort((a, b) => a - b);
}

/** In the place of rows that are not in the document. */
function Gap({ height, width }: { height: number; width: number }) {
  return (
    <tr aria-hidden>
      <td colSpan={width} style={{ height, padding: 0 }} />
    </tr>
  );
}

interface RowProps<Row> {
  row: Row;
  name: string;
  index: number;
  columns: Column<Row>[];
  measure: ((element: HTMLElement | null) => void) | undefined;
  selected: boolean | undefined;
  onToggle: ((row: Row) => void) | undefined;
}

/** One row; it is drawn anew when its data changed. */
const TableRow = memo(function TableRow<Row>(props: RowProps<Row>) {
  const { row, name, index, columns, measure, selected, onToggle } = props;
  return (
    <Table.Tr ref={measure} data-index={index} data-row={name} aria-rowindex={index + 2}>
      {onToggle && (
        <Table.Td>
          <Checkbox
            size="xs"
            aria-label={`Select ${name}`}
            checked={selected ?? false}
            onChange={() => onToggle(row)}
          />
        </Table.Td>
      )}
      {columns.map((column) => (
        <Table.Td key={column.key} {...(column.align ? { ta: column.align } : {})}>
          {column.render ? column.render(row) : String(column.value?.(row) ?? '–')}
        </Table.Td>
      ))}
    </Table.Tr>
  );
}) as <Row>(props: RowProps<Row>) => React.JSX.Element;

function indexOf(event: FocusEvent): number | null {
  const index = event.target.closest<HTMLElement>('[data-index]')?.dataset.index;
  return index === undefined ? null : Number(index);
}

const NEXT = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' } as const;
const REACHABLE = 'a[href], button:not(:disabled), input[type=checkbox]:not(:disabled)';

/** The arrow keys lead from a link or button to the one of the row below or above. */
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
