import {
  Card,
  Checkbox,
  Group,
  Kbd,
  Skeleton,
  Stack,
  Table,
  Text,
  TextInput,
  UnstyledButton,
  VisuallyHidden,
} from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import type { UseQueryResult } from '@tanstack/react-query';
import { IconArrowDown, IconArrowUp, IconSearch } from '@tabler/icons-react';
import { type ReactNode, useMemo, useRef } from 'react';
import { StaleBanner } from './feedback';
import { type Cell, compare, passes, useSelection, useTableState } from './tableState';

export interface Column<Row> {
  /** Short key: names the column in the address and in the filter (`zone:eu`). */
  key: string;
  title: string;
  /** The title is there only for people who hear the page. */
  hideTitle?: boolean;
  /** What the column is sorted and filtered by; without it the column does neither. */
  value?: (row: Row) => Cell;
  /** What is shown; without it the value. */
  render?: (row: Row) => ReactNode;
  align?: 'right';
  width?: number | string;
}

interface Props<Row> {
  /** What the table shows, for people who hear it. */
  caption: string;
  /** Of a second, short table of a page: its order has a name of its own in the address, and it has no filter. */
  name?: string;
  query: Pick<UseQueryResult<Row[]>, 'data' | 'error'>;
  columns: Column<Row>[];
  rowKey: (row: Row) => string;
  empty: ReactNode;
  /** Key of the column, with `-` in front for descending. */
  sort?: string;
  minWidth?: number;
  /** Beside the filter. */
  tools?: ReactNode;
  /** What can be done with several rows at once; with it rows can be selected. */
  bulk?: (rows: Row[], clear: () => void) => ReactNode;
}

/** The one table of the console: filter, order, skeleton, empty state, stale data; rows are renewed in place. */
export function DataTable<Row>({
  caption,
  name = '',
  query,
  columns,
  rowKey,
  empty,
  sort,
  minWidth = 760,
  tools,
  bulk,
}: Props<Row>) {
  const state = useTableState(sort ?? null, name);
  const filterRef = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => filterRef.current?.focus()]]);
  const rows = useMemo(() => arranged(query.data ?? [], columns, state), [query.data, columns, state]);
  const total = query.data?.length ?? 0;
  const selection = useSelection(rows, rowKey, state.filter);

  return (
    <Stack gap="md">
      <StaleBanner error={query.error} hasData={query.data !== undefined} />
      <Card withBorder p={0} className="surface">
        {!name && (
          <Group justify="space-between" p="sm">
            {bulk && selection.rows.length > 0 ? (
              <Group gap="sm">
                <Text size="sm" fw={600} role="status">
                  {selection.rows.length} selected
                </Text>
                {bulk(selection.rows, selection.clear)}
              </Group>
            ) : (
              tools
            )}
            <TextInput
              ref={filterRef}
              w={{ base: '100%', xs: 280 }}
              ml="auto"
              size="sm"
              aria-label={`Filter ${caption}`}
              placeholder="Filter, e.g. zone:eu running"
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
          </Group>
        )}
        <Table.ScrollContainer minWidth={minWidth} type="native" tabIndex={0} role="region" aria-label={caption}>
          <Table verticalSpacing="sm" horizontalSpacing="sm" highlightOnHover aria-label={caption}>
            <Table.Thead>
              <Table.Tr>
                {bulk && (
                  <Table.Th w={40}>
                    <Checkbox
                      size="xs"
                      aria-label="Select all rows"
                      checked={rows.length > 0 && selection.rows.length === rows.length}
                      indeterminate={selection.rows.length > 0 && selection.rows.length < rows.length}
                      onChange={selection.toggleAll}
                    />
                  </Table.Th>
                )}
                {columns.map((column) => (
                  <Heading key={column.key} column={column} state={state} />
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {!query.data
                ? [0, 1, 2].map((index) => <SkeletonRow key={index} columns={columns.length + (bulk ? 1 : 0)} />)
                : rows.map((row) => (
                    <Table.Tr key={rowKey(row)} data-row={rowKey(row)}>
                      {bulk && (
                        <Table.Td>
                          <Checkbox
                            size="xs"
                            aria-label={`Select ${rowKey(row)}`}
                            checked={selection.has(row)}
                            onChange={() => selection.toggle(row)}
                          />
                        </Table.Td>
                      )}
                      {columns.map((column) => (
                        <Table.Td key={column.key} {...(column.align ? { ta: column.align } : {})}>
                          {column.render ? column.render(row) : String(column.value?.(row) ?? '–')}
                        </Table.Td>
                      ))}
                    </Table.Tr>
                  ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
        {query.data && total === 0 && empty}
        {total > 0 && rows.length === 0 && (
          <Text ta="center" py="xl" c="dimmed" size="sm">
            None of the {total} rows match “{state.filter}”.
          </Text>
        )}
      </Card>
    </Stack>
  );
}

function arranged<Row>(data: Row[], columns: Column<Row>[], state: ReturnType<typeof useTableState>): Row[] {
  const valued = columns.filter((column) => column.value);
  const cells = (row: Row) => Object.fromEntries(valued.map((column) => [column.key, column.value?.(row)]));
  const rows = state.filter ? data.filter((row) => passes(state.filter, cells(row))) : [...data];
  const by = valued.find((column) => column.key === state.sort)?.value;
  if (!by) return rows;
  const direction = state.descending ? -1 : 1;
  return rows.sort((a, b) => compare(by(a), by(b)) * direction);
}

function Heading<Row>({ column, state }: { column: Column<Row>; state: ReturnType<typeof useTableState> }) {
  const active = state.sort === column.key;
  const Arrow = state.descending ? IconArrowDown : IconArrowUp;
  const style = { width: column.width };
  if (!column.value)
    return (
      <Table.Th style={style} {...(column.align ? { ta: column.align } : {})}>
        {column.hideTitle ? <VisuallyHidden>{column.title}</VisuallyHidden> : column.title}
      </Table.Th>
    );
  return (
    <Table.Th
      style={style}
      aria-sort={active ? (state.descending ? 'descending' : 'ascending') : 'none'}
      {...(column.align ? { ta: column.align } : {})}
    >
      <UnstyledButton
        fw={650}
        fz="sm"
        style={{ whiteSpace: column.title.includes(' ') ? 'normal' : 'nowrap' }}
        onClick={() => state.toggleSort(column.key)}
      >
        {column.title}
        {active && <Arrow size={14} aria-hidden style={{ marginLeft: 4, verticalAlign: '-2px' }} />}
      </UnstyledButton>
    </Table.Th>
  );
}

function SkeletonRow({ columns }: { columns: number }) {
  return (
    <Table.Tr>
      {Array.from({ length: columns }, (_, index) => (
        <Table.Td key={index}>
          <Skeleton h={18} />
        </Table.Td>
      ))}
    </Table.Tr>
  );
}
