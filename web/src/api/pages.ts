/** Long lists, which are read page by page while the user scrolls. */

import { infiniteQueryOptions } from '@tanstack/react-query';
import type { Page } from './client';

/** The number of rows of the first page and of the next ones. */
const FIRST_ROWS = 100;
const NEXT_ROWS = 500;
/** The interval at which each loaded page is read again, in case an event was lost. */
const LOOK_AGAIN_MS = 5000;

interface Span {
  limit: number;
  cursor?: string;
}

/** The pages of a list; `read` requests one of them. */
export function pagesOf<Row>(
  queryKey: readonly unknown[],
  read: (span: Span, signal: AbortSignal) => Promise<Page<Row>>,
) {
  return infiniteQueryOptions({
    queryKey,
    queryFn: ({ signal, pageParam }) =>
      read(pageParam ? { cursor: pageParam, limit: NEXT_ROWS } : { limit: FIRST_ROWS }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Page<Row>) => page.next,
    structuralSharing: false, // it would compare every field of every row at each change of one
    refetchInterval: ({ state }) => (state.data?.pages.length ?? 1) * LOOK_AGAIN_MS,
  });
}
