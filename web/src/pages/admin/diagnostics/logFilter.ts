import { useCallback } from 'react';
import type { LogQuestion } from '../../../api/queries';
import { useAddress } from '../../../components/address';

export const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR'] as const;

/** The conditions of the request. Each is a parameter of the address of the page. */
export type LogFilter = LogQuestion;

const TEXTS = [
  'component',
  'code',
  'text',
  'zone_name',
  'session_id',
  'user_id',
  'staging_config_id',
  'since',
  'until',
] as const;

/** The time spans to choose from, in minutes. */
export const SPANS: Record<string, number> = { '15m': 15, '1h': 60, '24h': 1440, '7d': 10_080 };

/** The filter in the address, and how to change one part of it. */
export function useLogFilter(): [LogFilter, string, (name: string, value: string | null) => void] {
  const address = useAddress();
  const span = address.get('span') ?? '';
  const filter: LogFilter = { level: LEVELS.find((each) => each === address.get('level')) ?? 'INFO' };
  for (const name of TEXTS) {
    const value = address.get(name);
    if (value) filter[name] = value;
  }
  const change = useCallback((name: string, value: string | null) => address.set({ [name]: value ?? '' }), [address]);
  return [filter, span, change];
}

/** The start of the time span, rounded to the minute, so that repeated requests are equal. */
export function sinceOf(span: string, now: number): string | undefined {
  const minutes = SPANS[span];
  return minutes ? new Date(Math.floor(now / 60_000 - minutes) * 60_000).toISOString() : undefined;
}

/** The condition of a request of the log. Without live updates its answer stays, but another filter is still requested. */
export function enabledWhile(live: boolean): (query: { state: { data?: unknown } }) => boolean {
  return ({ state }) => live || state.data === undefined;
}
