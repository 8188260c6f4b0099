/**
 * Live pages: server-sent events of `/api/v1/events` mark queries as out of date, and a reconnect marks all of them. In
 * lists of sessions, which may be long, only the sessions of the events are updated.
 */

import type { QueryClient, QueryFilters } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';
import { setSilence } from '../components/clock';
import { answered, silenceMs } from './client';
import { SessionPatches } from './sessionList';

export type LiveState = 'connecting' | 'live' | 'reconnecting';

/** Topic of an event → first parts of the query keys that it marks as out of date. */
const TOUCHED: Record<string, string[]> = {
  session: [
    'sessions',
    'session-videos',
    'connection',
    'staging-configs',
    'agents',
    'launcher',
    'sharing',
    'stage-map',
  ],
  staging: ['why', 'staging-configs', 'staging-answer', 'sessions', 'launcher', 'today', 'stage-map'],
  primary: ['why', 'managers', 'today', 'stage-map'],
  lease: ['sessions'],
  managers: ['why', 'managers', 'zones', 'today', 'stage-map'],
  agents: ['why', 'agents', 'join-tokens', 'gateways', 'zones', 'today', 'stage-map'],
  agent: ['agents', 'stage-map'],
  zone: ['why', 'managers', 'staging-configs', 'stage-map'],
  zones: ['why', 'zones', 'staging-configs', 'today', 'stage-map'],
  settings: ['why', 'groups', 'settings', 'branding', 'me', 'launcher', 'filter-policies', 'staging-answer'],
  machines: ['machine-pools', 'machine-orders', 'machine-preview', 'agents'],
  images: [
    'why',
    'images',
    'catalogue',
    'catalogues',
    'launcher',
    'staging-configs',
    'filter-policies',
    'today',
    'stage-map',
  ],
  filter_policies: ['filter-policies', 'images'],
  users: ['users', 'groups', 'me', 'service-accounts'],
  webhooks: ['webhooks', 'today'],
  logs: ['logs', 'audit', 'manager-requests', 'launches', 'staging-history', 'today'],
};

/** Events within this time cause one refresh. */
const GATHER_MS = 80;
/** Queries with large answers → the shortest time between two refreshes. */
const AT_MOST_MS: Record<string, number> = { 'stage-map': 1000, today: 1000 };
/** The topics after which all queries are refreshed at once: there are few such events. */
const URGENT = ['primary', 'managers'];
/** The first and the later pause before a reconnect. */
const RETRY_FIRST_MS = 200;
const RETRY_MS = 1000;
/** A shorter interruption is not shown, because the queries are read again after a reconnect. */
const GAP_MS = 2500;
/** The stream sends something at least this often. */
const ALIVE_S = 2;
/** After this time, a silent stream is opened again, and a silent server is shown. */
const SILENT_MS = 5000;
const WATCH_MS = 500;
/** A page whose timers are this late stood still itself, for example in the background. */
const LATE_MS = 2000;

let state: LiveState = 'connecting';
const listeners = new Set<() => void>();

function become(next: LiveState): void {
  if (next === state) return;
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether the page currently receives events. */
export function useLiveState(): LiveState {
  return useSyncExternalStore(subscribe, () => state);
}

/** Keep `queries` up to date while mounted. */
export function useLiveQueries(queries: QueryClient): void {
  useEffect(() => followEvents(queries), [queries]);
}

/**
 * Marks queries as out of date. `invalidateQueries` does not repeat the first request of a query, whose answer may be
 * older than the event. Such a query is therefore requested again after this answer.
 */
function markOutOfDate(queries: QueryClient, filters: QueryFilters): void {
  const requested = queries.getQueryCache().findAll({ ...filters, fetchStatus: 'fetching' });
  void queries.invalidateQueries(filters);
  for (const { queryKey, promise } of requested.filter(({ state }) => state.data === undefined)) {
    promise?.then(
      () => queries.invalidateQueries({ queryKey, exact: true }),
      () => undefined, // the page shows this error
    );
  }
}

/** Marks queries as out of date after events, until the returned function is called. */
export function followEvents(queries: QueryClient): () => void {
  const waiting = new Set<string>();
  const sessions = new SessionPatches(queries);
  let gather: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let gap: ReturnType<typeof setTimeout> | undefined;
  let source: EventSource | undefined;

  const marked = new Map<string, number>();
  let receivedAt = 0;
  let watchedAt = performance.now();

  const onReceived = () => {
    receivedAt = performance.now();
    answered();
  };
  // A stopped server closes no connection, so silence is the only sign.
  const watch = () => {
    const now = performance.now();
    if (now - watchedAt >= LATE_MS) onReceived();
    watchedAt = now;
    const silence = silenceMs();
    setSilence(silence < SILENT_MS ? undefined : Date.now() - silence);
    if (now - receivedAt < SILENT_MS) return;
    receivedAt = now; // the next stream has as much time
    become('reconnecting');
    lost();
  };
  const flush = () => {
    const now = performance.now(); // unlike the clock, it never goes back
    const keys = new Set([...waiting].filter((key) => now - (marked.get(key) ?? -Infinity) >= (AT_MOST_MS[key] ?? 0)));
    for (const key of keys) {
      waiting.delete(key);
      marked.set(key, now);
    }
    gather = waiting.size > 0 ? setTimeout(flush, GATHER_MS) : undefined;
    markOutOfDate(queries, { predicate: (query) => keys.has(String(query.queryKey[0])) });
    void sessions.flush();
  };
  const touch = ({ topic, id }: { topic: string; id: string }) => {
    if (topic === 'session') sessions.add(id);
    if (URGENT.includes(topic)) marked.clear();
    for (const key of TOUCHED[topic] ?? []) waiting.add(key);
    gather ??= setTimeout(flush, GATHER_MS);
  };
  const resync = () => markOutOfDate(queries, {});
  const connect = () => {
    receivedAt = performance.now();
    source = new EventSource(`/api/v1/events?alive_s=${ALIVE_S}`);
    source.onopen = () => {
      onReceived();
      if (gap !== undefined) resync();
      clearTimeout(gap);
      gap = undefined;
      become('live');
    };
    source.onmessage = (event) => {
      onReceived();
      touch(JSON.parse(event.data as string) as { topic: string; id: string });
    };
    source.addEventListener('resync', resync);
    source.addEventListener('alive', onReceived);
    source.onerror = lost;
  };
  // A stream that the browser closed without a network would stay silent for a long time.
  const lost = () => {
    const isFirst = gap === undefined;
    gap ??= setTimeout(() => become('reconnecting'), GAP_MS);
    source?.close();
    clearTimeout(retry);
    retry = setTimeout(connect, isFirst ? RETRY_FIRST_MS : RETRY_MS);
  };
  answered();
  connect();
  const watching = setInterval(watch, WATCH_MS);
  window.addEventListener('offline', lost);
  return () => {
    clearInterval(watching);
    setSilence(undefined);
    window.removeEventListener('offline', lost);
    clearTimeout(gather);
    clearTimeout(retry);
    clearTimeout(gap);
    source?.close();
  };
}
