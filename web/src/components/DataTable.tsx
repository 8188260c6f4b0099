import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Checkbox, Skeleton, Table, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { UseQueryResult } from '@tanstack/react-query';
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react';
import { type MouseEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { placeInPanel } from '../places';
import { useAddress, useIsInPanel, usePanel } from './address';
import type { Bulk } from './bulk';
import { BulkBar } from './BulkBar';
import styles from './DataTable.module.css';
import { download, csvOf, type ExportFormat, jsonOf } from './exportRows';
import { LateWords, showError, showWarning, StaleBanner } from './feedback';
import { FilterField } from './FilterField';
import { useIdColumn } from './idColumn';
import { KeysHelp } from './KeysHelp';
import { chosenColumns, leaveViewColumns, queryOf, showView, useListChoices } from './listChoices';
import { ListOptions } from './ListOptions';
import { RowDetails } from './RowDetails';
import { OpenItemContext } from './RowLink';
import { SavedViews } from './SavedViews';
import { PagePanel, SidePanel } from './SidePanel';
import { MOST_WHOLE, TableRows } from './TableRows';
import {
  arranged,
  type Column,
  shownColumns,
  shownKeys,
  type TableState,
  useSelection,
  useTableState,
} from './tableState';
import { focusOpened, moveRow, useTableKeys } from './tableKeys';
import { useFittingColumns } from './useFittingColumns';
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
  /** The name of the list in the preferences of users and of exported files. */
  list: string;
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
  /** A search by the server, in place of the filter of the loaded rows. */
  search?: ReactNode;
  /** The actions for several rows. With it, rows can be selected. */
  bulk?: Bulk<Row> | undefined;
  /** The title of the panel of a row whose item has no page. Its name is then a `RowPanelLink`. */
  panelTitle?: (row: Row) => string;
}

/** A table with more columns has less space between them. */
const MANY_COLUMNS = 10;

/** The minimum width of a window with a panel beside a list. In smaller windows, links open the full page. */
const PANEL_MIN_PX = 1000;

/**
 * The table of the console, with filter, order, skeleton, empty state and stale data. Rows are updated in place.
 *
 * It may have any number of rows. Of many rows, only those near the window are in the document. On a small screen, rows
 * are cards. A link of a row opens the item in a panel beside the list.
 */
export function DataTable<Row>({
  caption,
  list,
  name = '',
  query,
  columns: ownColumns,
  rowKey,
  paged,
  isPart = false,
  empty,
  sort,
  minWidth = 760,
  tools,
  search,
  bulk,
  panelTitle,
}: TableProps<Row>) {
  const own = useTableState(sort ?? null, name);
  const state = paged?.state ?? own;
  const { sort: by, descending } = state;
  const filter = search ? '' : state.filter;
  const isPaged = paged !== undefined;
  const columns = useIdColumn(ownColumns, query.data?.[0], rowKey);
  const rows = useMemo(
    () => (isPaged ? (query.data ?? []) : arranged(query.data ?? [], columns, { filter, sort: by, descending })),
    [isPaged, query.data, columns, filter, by, descending],
  );
  const total = paged ? paged.total : String(rows.length);
  const loaded = rows.length;
  const known = total ?? '…';
  const selection = useSelection(rows, rowKey, filter);
  const whole = useWholeList(rows.length, paged?.onMore, query.error);
  const body = useRef<HTMLTableSectionElement>(null);
  const [isHelpOpen, help] = useDisclosure(false);

  const isInPanel = useIsInPanel();
  const { path: panelPath, row: panelRow, open: openPanel, close: closePanel } = usePanel();
  const path = name || isInPanel ? null : panelPath;
  const openKey = isInPanel ? null : keyIn(panelRow, name);
  const openRow = panelTitle && openKey !== null ? query.data?.find((row) => rowKey(row) === openKey) : undefined;
  const isOpen = path !== null || openRow !== undefined;
  const close = useCallback(() => {
    focusOpened(body.current);
    closePanel();
  }, [closePanel]);
  const openInPanel = (event: MouseEvent) => {
    const { ctrlKey, metaKey, shiftKey, altKey, button, target } = event;
    if (isInPanel || ctrlKey || metaKey || shiftKey || altKey || button !== 0 || !(target instanceof Element)) return;
    const link = target.closest<HTMLAnchorElement>('[data-row] a.row-link');
    if (!link) return;
    const { panelRow: key } = link.dataset;
    if (key === undefined && (name || window.innerWidth < PANEL_MIN_PX || !placeInPanel(link.pathname))) return;
    event.preventDefault(); // the link would open the page
    openPanel(key === undefined ? link : { pathname: key, search: '' });
    if ((key ?? link.pathname) === (openRow ? panelRow : path))
      document.querySelector<HTMLElement>('[data-side-panel]')?.focus();
  };
  const hasKeys = isOpen || (!name && (panelRow === null || openKey !== null));
  useTableKeys(body, hasKeys && !isInPanel, help.open, isOpen ? close : undefined);

  const move = (step: 1 | -1) => body.current && moveRow(body.current, step);
  const address = useAddress();
  const [choices, keep] = useListChoices(list);
  const chosen = name ? null : chosenColumns(address, choices);
  const chosenKeys = chosen?.join();
  const isNarrow = isOpen || isInPanel;
  const [wide, wanted] = useMemo(() => {
    const keys = chosenKeys?.split(',') ?? null;
    return [shownColumns(columns, keys, false), shownColumns(columns, keys, isNarrow)];
  }, [columns, chosenKeys, isNarrow]);
  const shown = useFittingColumns(body, wanted, !isNarrow && !chosen && query.data !== undefined);
  const frozen = useFrozenWidths(body, rows.length > MOST_WHOLE, shown.map(({ key }) => key).join());
  const isEmpty = query.data && rows.length === 0 && !paged?.onMore;
  const save = (format: ExportFormat) =>
    whole.load(() => {
      const latest = exported.current;
      if (format === 'csv') download(`${list}.csv`, 'text/csv;charset=utf-8', csvOf(latest.columns, latest.rows));
      else download(`${list}.json`, 'application/json', jsonOf(latest.rows));
    });
  const exported = useRef({ rows, columns: wide });
  exported.current = { rows, columns: wide };
  const selectAll = useRef(selection.selectAll);
  selectAll.current = selection.selectAll;

  return (
    <OpenItemContext value={openRow ? panelRow : path}>
      <div className={styles.whole}>
        <StaleBanner error={query.error} hasData={query.data !== undefined} />
        <div>
          {!name && (
            <div className={styles.tools}>
              {bulk && selection.rows.length > 0 ? (
                <BulkBar
                  bulk={bulk}
                  rows={selection.rows}
                  rowKey={rowKey}
                  total={total}
                  isPart={paged?.onMore !== undefined}
                  onAll={
                    paged?.onMore && selection.rows.length === rows.length
                      ? () => whole.load(() => selectAll.current())
                      : undefined
                  }
                  isLoadingAll={whole.isLoading}
                  onClear={selection.clear}
                />
              ) : (
                tools
              )}
              {search ?? (
                <FilterField
                  caption={caption}
                  columns={columns}
                  rows={query.data ?? []}
                  isPart={isPart}
                  value={state.filter}
                  onChange={state.setFilter}
                />
              )}
              <div className={styles.menus}>
                <SavedViews
                  views={choices.views}
                  query={queryOf(address, chosen)}
                  onShow={(view) => showView(address, view)}
                  onChange={(views) => keep(() => ({ views }))}
                />
                <ListOptions
                  columns={columns}
                  shown={wide}
                  onColumns={(change) => {
                    leaveViewColumns(address);
                    keep((before) => ({ columns: change(shownKeys(columns, chosenColumns(address, before))) }));
                  }}
                  isExporting={whole.isLoading}
                  onExport={save}
                />
              </div>
            </div>
          )}
          <Table.ScrollContainer
            className={styles.scroller ?? ''}
            minWidth={isNarrow ? 0 : (minWidth * shown.length) / wanted.length}
            type="native"
            tabIndex={0}
            role="region"
            aria-label={caption}
            classNames={{ scrollContainerInner: styles.scrolled ?? '' }}
            onClickCapture={openInPanel}
          >
            <Table
              className={`data-table ${styles.table ?? ''}`}
              withRowBorders={false}
              aria-label={caption}
              aria-rowcount={Number.isInteger(Number(total)) ? Number(total) + 1 : -1}
              layout={frozen ? 'fixed' : 'auto'}
              {...(shown.length > MANY_COLUMNS && { 'data-many': true })}
              {...(frozen && { w: frozen.table, 'data-frozen': true })}
            >
              {frozen?.columns}
              <Table.Thead className={query.data ? undefined : styles.waiting}>
                <Table.Tr aria-rowindex={1}>
                  {bulk && (
                    <Table.Th w={40}>
                      <Checkbox
                        size="xs"
                        aria-label={paged?.onMore ? t`Select the ${loaded} rows that are loaded` : t`Select all rows`}
                        checked={rows.length > 0 && selection.rows.length === rows.length}
                        indeterminate={selection.rows.length > 0 && selection.rows.length < rows.length}
                        onChange={selection.toggleAll}
                      />
                    </Table.Th>
                  )}
                  {shown.map((column) => (
                    <Heading key={column.key} column={column} state={state} isFrozen={frozen !== null} />
                  ))}
                </Table.Tr>
              </Table.Thead>
              {query.data ? (
                <TableRows
                  body={body}
                  rows={rows}
                  columns={shown}
                  rowKey={rowKey}
                  selection={bulk && { ...selection, nameOf: bulk.nameOf }}
                  onMore={paged?.onMore}
                />
              ) : (
                <Table.Tbody>
                  {[0, 1, 2].map((index) => (
                    <SkeletonRow key={index} columns={shown.length + (bulk ? 1 : 0)} />
                  ))}
                </Table.Tbody>
              )}
            </Table>
          </Table.ScrollContainer>
          {!query.data && !query.error && (
            <p className={styles.note} role="status">
              <LateWords>
                <VisuallyHidden>{t`Loading`}</VisuallyHidden>
              </LateWords>
            </p>
          )}
          {isEmpty && !filter && empty}
          {isEmpty && filter && (
            <p className={styles.note}>
              {isPart ? <Trans>No loaded row matches “{filter}”.</Trans> : <Trans>No row matches “{filter}”.</Trans>}
            </p>
          )}
          {paged?.onMore && (
            <p className={`${styles.note} number`}>
              {filter
                ? t`${plural(loaded, { one: '# row', other: '# rows' })} found so far. Searching older rows…`
                : t`${loaded} of ${known} rows are loaded; scroll for more.`}
            </p>
          )}
        </div>
        {path !== null && <PagePanel path={path} onMove={move} onClose={close} />}
        {openRow !== undefined && panelTitle && (
          <SidePanel onMove={move} onClose={close}>
            <RowDetails row={openRow} title={panelTitle(openRow)} columns={columns} />
          </SidePanel>
        )}
        {isHelpOpen && <KeysHelp onClose={help.close} />}
      </div>
    </OpenItemContext>
  );
}

/** The key of the row in the panel, if the row is in the table with this name; null = it is not. */
function keyIn(panelRow: string | null, name: string): string | null {
  if (panelRow === null) return null;
  const [key, table] = panelRow.split(':').reverse();
  return (table ?? '') === name ? (key ?? null) : null;
}

/** The number of rows up to which a list is loaded as a whole, for an export or a selection. */
const MOST_LOADED = 20_000;

/** Loads the missing rows of a list, and then calls a function. */
function useWholeList(loaded: number, onMore: (() => void) | undefined, error: Error | null) {
  const [then, setThen] = useState<{ call: () => void } | null>(null);
  useEffect(() => {
    if (!then) return;
    if (onMore && !error && loaded < MOST_LOADED) {
      onMore();
      return;
    }
    setThen(null);
    if (error) {
      showError(t`Not all rows were loaded`, error);
      return;
    }
    if (onMore) showWarning(t`Not all rows were loaded`, t`The list is too long. Use a filter that fewer rows pass.`);
    then.call();
  }, [then, loaded, onMore, error]);
  return { isLoading: then !== null, load: (call: () => void) => setThen({ call }) };
}

interface HeadingProps<Row> {
  column: Column<Row>;
  state: TableState;
  /** The widths are fixed. In Chromium, a width of the heading would override the `colgroup`. */
  isFrozen: boolean;
}

function Heading<Row>({ column, state, isFrozen }: HeadingProps<Row>) {
  const active = state.sort === column.key;
  const Arrow = state.descending ? IconArrowDown : IconArrowUp;
  const style = isFrozen ? {} : { width: column.width, minWidth: column.minWidth };
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
      <UnstyledButton className={styles.order} onClick={() => state.toggleSort(column.key, column.highestFirst)}>
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
