import { useCallback } from 'react';
import { useSearchParams } from 'react-router';
import type { LogQuestion } from '../../../api/queries';
import { withParam } from '../../../components/tableState';

export const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR'] as const;

/** What rows are asked of the server; each is a parameter of the page's address. */
export type LogFilter = Omit<LogQuestion, 'since'>;

const TEXTS = [
  'component',
  'code',
  'text',
  'zone_name',
  'session_id',
  'user_id',
  'staging_config_id',
  'until',
] as const;

/** Time spans people choose from, in minutes. */
export const SPANS: Record<string, number> = { '15m': 15, '1h': 60, '24h': 1440, '7d': 10_080 };

/** The filter in the address, and how to change one part of it. */
export function useLogFilter(): [LogFilter, string, (name: string, value: string | null) => void] {
  const [params, setParams] = useSearchParams();
  const span = params.get('span') ?? '';
  const filter: LogFilter = { level: LEVELS.find((each) => each === params.get('level')) ?? 'INFO' };
  for (const name of TEXTS) {
    const value = params.get(name);
    if (value) filter[name] = value;
  }
  const change = useCallback(
    (name: string, value: string | null) => setParams(withParam(name, value ?? ''), { replace: true }),
    [setParams],
  );
  return [filter, span, change];
}

/** The time from which rows are shown; to the minute, so that a page on the screen asks the same again. */
export function sinceOf(span: string, now: number): string | undefined {
  const minutes = SPANS[span];
  return minutes ? new Date(Math.floor(now / 60_000 - minutes) * 60_000).toISOString() : undefined;
}
