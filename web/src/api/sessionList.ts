/** Lists of sessions: pages from the server, with rows that are updated after events. */

import { type InfiniteData, type QueryClient, queryOptions } from '@tanstack/react-query';
import type { paths } from '../generated/schema';
import { client, type Page, pageOf } from './client';
import { pagesOf } from './pages';
import type { Session, Uuid } from './types';

/** The conditions and the order of the sessions. */
export type SessionQuestion = Omit<
  NonNullable<paths['/api/v1/sessions']['get']['parameters']['query']>,
  'limit' | 'cursor' | 'count' | 'session_id'
>;

type Cell = string | number;

/** The values by which the server orders sessions. They give the position of a new row. */
const ORDERS: Record<string, (session: Session) => Cell> = {
  user: ({ username }) => username?.toLowerCase() ?? '',
  workspace: ({ image_friendly_name }) => image_friendly_name.toLowerCase(),
  id: ({ session_id }) => session_id,
  status: ({ status }) => status,
  zone: ({ zone_name }) => zone_name.toLowerCase(),
  agent: ({ hostname }) => hostname?.toLowerCase() ?? '',
  cpu: (session) => measured(session, session.cpu_used),
  memory: (session) => measured(session, session.memory_used),
  latency: (session) => measured(session, session.round_trip_ms),
  frames: (session) => measured(session, session.frames_s),
  received: (session) => measured(session, session.kbit_s),
  created: ({ created }) => Date.parse(created),
  expires: ({ expires }) => (expires ? Date.parse(expires) : Infinity),
};

/** Sessions that do not run, or were not measured, have the lowest value. */
function measured({ status }: Session, value: number | null): number {
  return status === 'running' ? (value ?? -1) : -1;
}

/** The first part of the key of `sessionListQuery`. Other keys of sessions start with `sessions`, and are read again. */
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

/** The maximum number of ids in one request, which limits the length of its address. */
const MOST_IDS = 100;

/** Updates the shown lists. Only the changed sessions are requested. */
export class SessionPatches {
  private readonly waiting = new Set<Uuid>();
  private running = false;

  constructor(private readonly queries: QueryClient) {}

  /** Adds a session that was created, changed or deleted. */
  add(sessionId: Uuid): void {
    this.waiting.add(sessionId);
  }

  /** Requests the added sessions. Sessions that are added during a request are sent in the next one. */
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
          while (list.state.fetchStatus === 'fetching') await list.promise; // its result would overwrite the changes
          this.queries.setQueryData<Pages>(list.queryKey, (data) => data && patched(data, ids, rows, question.sort));
        } catch {
          void this.queries.invalidateQueries({ queryKey: list.queryKey }); // the query shows the error itself
        }
      }),
    );
  }
}

type Pages = InfiniteData<Page<Session>, string | null>;

/** The list with `rows` instead of those with `ids`. Changed rows keep their position, and new rows are inserted in order. */
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
