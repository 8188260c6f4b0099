import { Button, Checkbox, Kbd, Skeleton, Table, Text, TextInput, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import type { UseQueryResult } from '@tanstack/react-query';
import { IconArrowDown, IconArrowUp, IconSearch } from '@tabler/icons-react';
import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import styles from './DataTable.module.css';
import { DensityButton } from './Density';
import { StaleBanner } from './feedback';
import { KeysHelp } from './KeysHelp';
import { counted } from './format';
import { MOST_WHOLE, TableRows } from './TableRows';
import {
  arranged,
  type Column,
  filterHint,
  selectedText,
  type TableState,
  useSelection,
  useTableState,
} from './tableState';
import { useTableKeys } from './tableKeys';
import { useFrozenWidths } from './useFrozenWidths';

/** The state of a list that the server orders and filters, and that is read page by page. */
export interface Paged {
  /** The request to the server; see `useTableState`. */
  state: TableState;
  /** The number of rows of all pages; `10000+` = at least 10000, undefined = not known yet. */
  total: string | undefined;
  /** Requests the next page; undefined = this is the last page. */
  onMore: (() => void) | undefined;
}

export interface TableProps<Row> {
  /** The description of the table, for screen readers. */
  caption: string;
  /** The name of a second, short table of a page. Its order has a separate parameter in the address, and it has no filter. */
  name?: string;
  query: Pick<UseQueryResult<Row[]>, 'data' | 'error'>;
  /** Must be the same array each time, so that unchanged rows do not render again. */
  columns: Column<Row>[];
  rowKey: (row: Row) => string;
  /** Without it, all rows are loaded, and ordered and filtered here. */
  paged?: Paged;
  /** Older rows exist on the server, which the filter does not search. */
  isPart?: boolean;
  empty: ReactNode;
  /** Key of the column, with `-` in front for descending. */
  sort?: string;
  minWidth?: number;
  /** The content next to the filter. */
  tools?: ReactNode;
  /** The actions for several rows. With it, rows can be selected. */
  bulk?: (rows: Row[], clear: () => void) => ReactNode;
}

/**
 * The table of the console, with filter, order, skeleton, empty state and stale data. Rows are updated in place.
 *
 * It may have any number of rows. Of many rows, only those near the window are in the document.
 */
export function DataTable<Row>({
  caption,
  name = '',
  query,
  columns,
  rowKey,
  paged,
  isPart = false,
  empty,
  sort,
  minWidth = 760,
  tools,
  bulk,
}: TableProps<Row>) {
  const own = useTableState(sort ?? null, name);
  const state = paged?.state ?? own;
  const filterRef = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => filterRef.current?.focus()]]);
  const { filter, sort: by, descending } = state;
  const isPaged = paged !== undefined;
  const rows = useMemo(
    () => (isPaged ? (query.data ?? []) : arranged(query.data ?? [], columns, { filter, sort: by, descending })),
    [isPaged, query.data, columns, filter, by, descending],
  );
  const total = paged ? paged.total : String(rows.length);
  const selection = useSelection(rows, rowKey, filter);
  const all = useSelectAll(rows.length, paged?.onMore, query.error, selection.selectAll);
  const body = useRef<HTMLTableSectionElement>(null);
  const [isHelpOpen, help] = useDisclosure(false);
  useTableKeys(body, !name, help.open);
  const frozen = useFrozenWidths(body, rows.length > MOST_WHOLE, columns.map(({ key }) => key).join());
  const isEmpty = query.data && rows.length === 0 && !paged?.onMore;

  return (
    <div className={styles.whole}>
      <StaleBanner error={query.error} hasData={query.data !== undefined} />
      <div>
        {!name && (
          <div className={styles.tools}>
            {bulk && selection.rows.length > 0 ? (
              <div className={styles.bulk}>
                <Text size="sm" fw={600} role="status">
                  {selectedText(selection.rows.length, total, !paged?.onMore)}
                </Text>
                {paged?.onMore && selection.rows.length === rows.length && (
                  <Button size="compact-sm" variant="subtle" loading={all.isLoading} onClick={all.select}>
                    Select all{total === undefined ? '' : ` ${total}`}
                  </Button>
                )}
                {bulk(selection.rows, selection.clear)}
              </div>
            ) : (
              tools
            )}
            <TextInput
              ref={filterRef}
              className={styles.filter}
              size="sm"
              aria-label={`Filter ${caption}`}
              placeholder={filterHint(columns, isPart)}
              leftSection={<IconSearch size={16} aria-hidden />}
              rightSection={
                <Kbd size="xs" aria-hidden>
                  /
                </Kbd>
              }
              value={state.filter}
              onChange={(event) => state.setFilter(event.currentTarget.value)}
              onKeyDown={(event) => event.key === 'Escape' && state.setFilter('')}
            />
            <DensityButton />
          </div>
        )}
        <Table.ScrollContainer
          className={styles.scroller}
          minWidth={minWidth}
          type="native"
          tabIndex={0}
          role="region"
          aria-label={caption}
        >
          <Table
            className="data-table"
            withRowBorders={false}
            aria-label={caption}
            aria-rowcount={Number.isInteger(Number(total)) ? Number(total) + 1 : -1}
            layout={frozen ? 'fixed' : 'auto'}
          >
            {frozen}
            <Table.Thead className={query.data ? undefined : styles.waiting}>
              <Table.Tr aria-rowindex={1}>
                {bulk && (
                  <Table.Th w={40}>
                    <Checkbox
                      size="xs"
                      aria-label={paged?.onMore ? `Select the ${rows.length} rows that are loaded` : 'Select all rows'}
                      checked={rows.length > 0 && selection.rows.length === rows.length}
                      indeterminate={selection.rows.length > 0 && selection.rows.length < rows.length}
                      onChange={selection.toggleAll}
                    />
                  </Table.Th>
                )}
                {columns.map((column) => (
                  <Heading key={column.key} column={column} state={state} width={frozen ? undefined : column.width} />
                ))}
              </Table.Tr>
            </Table.Thead>
            {query.data ? (
              <TableRows
                body={body}
                rows={rows}
                columns={columns}
                rowKey={rowKey}
                selection={bulk && selection}
                onMore={paged?.onMore}
              />
            ) : (
              <Table.Tbody>
                {[0, 1, 2].map((index) => (
                  <SkeletonRow key={index} columns={columns.length + (bulk ? 1 : 0)} />
                ))}
              </Table.Tbody>
            )}
          </Table>
        </Table.ScrollContainer>
        {isEmpty && !filter && empty}
        {isEmpty && filter && (
          <p className={styles.note}>
            {isPart ? 'No loaded row' : 'No row'} matches “{filter}”.
          </p>
        )}
        {paged?.onMore && (
          <p className={`${styles.note} number`}>
            {filter
              ? `${counted(rows.length, 'row')} found so far. Searching older rows…`
              : `${rows.length} of ${total ?? '…'} rows are loaded; scroll for more.`}
          </p>
        )}
      </div>
      {isHelpOpen && <KeysHelp onClose={help.close} />}
    </div>
  );
}

/** Selects all rows of a list. Loads the missing rows first. */
function useSelectAll(loaded: number, onMore: (() => void) | undefined, error: Error | null, selectAll: () => void) {
  const [isLoading, setLoading] = useState(false);
  const latest = useRef(selectAll);
  latest.current = selectAll;
  useEffect(() => {
    if (!isLoading) return;
    if (onMore && !error) {
      onMore();
      return;
    }
    setLoading(false);
    if (!error) latest.current();
  }, [isLoading, loaded, onMore, error]);
  return { isLoading, select: () => setLoading(true) };
}

interface HeadingProps<Row> {
  column: Column<Row>;
  state: TableState;
  /** Undefined if the widths are frozen, because in Chromium it would override the `colgroup`. */
  width: Column<Row>['width'];
}

function Heading<Row>({ column, state, width }: HeadingProps<Row>) {
  const active = state.sort === column.key;
  const Arrow = state.descending ? IconArrowDown : IconArrowUp;
  const style = { width };
  if (!column.value || column.unordered)
    return (
      <Table.Th style={style} {...(column.align ? { align: column.align } : {})}>
        {column.hideTitle ? <VisuallyHidden>{column.title}</VisuallyHidden> : column.title}
      </Table.Th>
    );
  return (
    <Table.Th
      style={style}
      aria-sort={active ? (state.descending ? 'descending' : 'ascending') : 'none'}
      {...(column.align ? { align: column.align } : {})}
    >
      <UnstyledButton className={styles.order} onClick={() => state.toggleSort(column.key)}>
        {column.title}
        {active && <Arrow size={14} aria-hidden className={styles.arrow} />}
      </UnstyledButton>
    </Table.Th>
  );
}

function SkeletonRow({ columns }: { columns: number }) {
  return (
    <Table.Tr className="row-skeleton">
      {Array.from({ length: columns }, (_, index) => (
        <Table.Td key={index}>
          <Skeleton h={18} />
        </Table.Td>
      ))}
    </Table.Tr>
  );
}
