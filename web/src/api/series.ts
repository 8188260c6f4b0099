/** The query of time series (`/api/v1/series`). */

import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { inAddress, periodOf, type Range } from '../charts/range';
import type { components, paths } from '../generated/schema';
import { client, dataOf } from './client';

export type SeriesAnswer = components['schemas']['SeriesAnswer'];
type Question = paths['/api/v1/series']['get']['parameters']['query'];
export type SeriesName = Question['names'][number];

/** A new minute is recorded within this time. */
const REFRESH_MS = 30_000;

/** The series of a period, of everything, of one zone or pool, or of each pool. A period that ends now moves on. */
export function seriesQuery(
  range: Range,
  names: SeriesName[],
  only: Pick<Question, 'zone_id' | 'staging_config_id' | 'split'> = {},
) {
  return queryOptions({
    queryKey: ['series', range, names, only],
    queryFn: ({ signal }) => {
      const { since, until } = periodOf(range, Date.now() / 1000);
      const end = 'preset' in range ? {} : { until: inAddress(until) };
      return dataOf(
        client.GET('/api/v1/series', {
          signal,
          params: { query: { names, since: inAddress(since), ...end, ...only } },
        }),
      );
    },
    refetchInterval: 'preset' in range ? REFRESH_MS : false,
    placeholderData: keepPreviousData,
    enabled: names.length > 0,
  });
}
