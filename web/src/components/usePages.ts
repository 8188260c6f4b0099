import { useDebouncedValue } from '@mantine/hooks';
import {
  type DefaultError,
  type InfiniteData,
  type QueryKey,
  useInfiniteQuery,
  type UseInfiniteQueryOptions,
  useQuery,
  type UseQueryOptions,
} from '@tanstack/react-query';
import { useCallback, useMemo } from 'react';
import type { Page } from '../api/client';
import type { Paged } from './DataTable';
import { TYPING_MS, useTableState } from './tableState';

/** The request of a table: the order and the words that rows must contain. */
interface Asked {
  q?: string;
}

interface Questions<Row, PageKey extends QueryKey, CountKey extends QueryKey> {
  /** Column, with `-` in front for descending. */
  sort: string;
  pages: (
    question: Asked & { sort: string },
  ) => UseInfiniteQueryOptions<Page<Row>, DefaultError, InfiniteData<Page<Row>>, PageKey, string | null>;
  count: (question: Asked) => UseQueryOptions<string, DefaultError, string, CountKey>;
}

/** A list for `DataTable`. The server orders and filters it, and more pages are read while the user scrolls. */
export function usePages<Row, PageKey extends QueryKey, CountKey extends QueryKey>({
  sort,
  pages,
  count,
}: Questions<Row, PageKey, CountKey>): { query: { data: Row[] | undefined; error: Error | null }; paged: Paged } {
  const state = useTableState(sort);
  const [words] = useDebouncedValue(state.filter.trim(), TYPING_MS);
  const asked = words ? { q: words } : {};
  const order = `${state.descending ? '-' : ''}${state.sort ?? sort}`;
  const list = useInfiniteQuery({ ...pages({ ...asked, sort: order }), placeholderData: (before) => before });
  const counted = useQuery({
    ...count(asked),
    placeholderData: (before: string | undefined) => before,
    enabled: !words,
  });
  const { data, hasNextPage, isFetching, fetchNextPage } = list;
  const rows = useMemo(() => data?.pages.flatMap((page) => page.rows), [data]);
  const total = hasNextPage ? (words ? undefined : counted.data) : rows && String(rows.length);
  const more = useCallback(() => void (isFetching || fetchNextPage()), [isFetching, fetchNextPage]);
  return {
    query: { data: rows, error: list.error },
    paged: { state, total, onMore: hasNextPage ? more : undefined },
  };
}
