/** Lists of sessions: pages from the server, and single rows that events renew. */

import { type InfiniteData, type QueryClient, queryOptions } from '@tanstack/react-query';
import type { paths } from '../generated/schema';
import { client, type Page, pageOf } from './client';
import { pagesOf } from './pages';
import type { Session, Uuid } from './types';

/** Which sessions are wanted, and in which order. */
export type SessionQuestion = Omit<
  NonNullable<paths['/api/v1/sessions']['get']['parameters']['query']>,
  'limit' | 'cursor' | 'count' | 'session_id'
>;

type Cell = string | number;

/** What the orders that the server offers go by; it is needed to put a new row in its place. */
const ORDERS: Record<string, (session: Session) => Cell> = {
  user: ({ username }) => username?.toLowerCase() ?? '',
  workspace: ({ image_friendly_name }) => image_friendly_name.toLowerCase(),
  id: ({ session_id }) => session_id,
  status: ({ status }) => status,
  zone: ({ zone_name }) => zone_name.toLowerCase(),
  agent: ({ hostname }) => hostname?.toLowerCase() ?? '',
  created: ({ created }) => Date.parse(created),
  expires: ({ expires }) => (expires ? Date.parse(expires) : Infinity),
};

/** The key of `sessionListQuery` begins with it; others of sessions begin with `sessions`, and are read anew. */
const LIST = 'session-list';
const read = (query: NonNullable<paths['/api/v1/sessions']['get']['parameters']['query']>, signal?: AbortSignal) =>
  pageOf(client.GET('/api/v1/sessions', { ...(signal ? { signal } : {}), params: { query } }));

/** The sessions that match. */
export function sessionListQuery(question: SessionQuestion) {
  return pagesOf([LIST, question], (span, signal) => read({ ...question, ...span }, signal));
}

/** How many sessions match. */
export function sessionCountQuery(question: SessionQuestion) {
  return queryOptions({
    queryKey: ['sessions', 'count', question],
    queryFn: async ({ signal }) => (await read({ ...question, limit: 1, count: true }, signal)).total ?? '0',
  });
}

/** Ids of sessions in one request; an address must not become too long. */
const MOST_IDS = 100;

/** Keeps the lists that are shown up to date: asks for the sessions that changed, and for nothing else. */
export class SessionPatches {
  private readonly waiting = new Set<Uuid>();
  private running = false;

  constructor(private readonly queries: QueryClient) {}

  /** A session changed, came or went. */
  add(sessionId: Uuid): void {
    this.waiting.add(sessionId);
  }

  /** Renew what was added; while one request is under way the next ones gather. */
  async flush(): Promise<void> {
    if (this.running) return;
    this.running = true;
    try {
      while (this.waiting.size > 0) {
        const ids = [...this.waiting].slice(0, MOST_IDS);
        for (const id of ids) this.waiting.delete(id);
        await this.patch(ids);
      }
    } finally {
      this.running = false;
    }
  }

  private async patch(ids: Uuid[]): Promise<void> {
    const lists = this.queries.getQueryCache().findAll({ queryKey: [LIST], type: 'active' });
    await Promise.all(
      lists.map(async (list) => {
        const question = list.queryKey[1] as SessionQuestion;
        try {
          const { rows } = await read({ ...question, session_id: ids, limit: ids.length });
          while (list.state.fetchStatus === 'fetching') await list.promise; // it would put back what it began with
          this.queries.setQueryData<Pages>(list.queryKey, (data) => data && patched(data, ids, rows, question.sort));
        } catch {
          void this.queries.invalidateQueries({ queryKey: list.queryKey }); // it says itself what is wrong
        }
      }),
    );
  }
}

type Pages = InfiniteData<Page<Session>, string | null>;

/** The list with `rows` in the place of those with `ids`: changed ones where they were, new ones where they belong. */
export function patched(data: Pages, ids: Uuid[], rows: Session[], sort = '-created'): Pages {
  const asked = new Set(ids);
  const fresh = new Map(rows.map((row) => [row.session_id, row]));
  const pages = data.pages.map((page) => {
    if (!page.rows.some(({ session_id }) => asked.has(session_id))) return page;
    const kept = page.rows.flatMap((row) => {
      if (!asked.has(row.session_id)) return [row];
      const now = fresh.get(row.session_id);
      fresh.delete(row.session_id);
      return now ? [now] : [];
    });
    return { ...page, rows: kept };
  });
  for (const row of fresh.values()) insert(pages, row, sort);
  return { ...data, pages };
}

function insert(pages: Page<Session>[], row: Session, sort: string): void {
  const of = ORDERS[sort.replace(/^-/, '')];
  if (!of) return;
  const value = of(row);
  const comes = sort.startsWith('-') ? (other: Session) => value > of(other) : (other: Session) => value < of(other);
  const found = pages.findIndex((page) => page.rows.some(comes));
  const index = found >= 0 ? found : pages.length - 1;
  const page = pages[index];
  if (!page || (found < 0 && page.next !== null)) return; // it belongs to a page that is not loaded yet
  const at = found >= 0 ? page.rows.findIndex(comes) : page.rows.length;
  pages[index] = { ...page, rows: [...page.rows.slice(0, at), row, ...page.rows.slice(at)] };
}
