import { t } from '@lingui/core/macro';
import { useQuery } from '@tanstack/react-query';
import { seriesQuery } from '../../../api/series';
import type { StagingConfig } from '../../../api/types';
import { trimmed } from '../../../components/format';
import { lineOf } from '../sessions/samples';
import styles from './ReadyLine.module.css';

/** One request for all rows. */
const OF_ALL_POOLS = seriesQuery({ preset: '24h' }, ['pools_ready'], { split: 'pool' });

/** The ready sessions of a pool in the last 24 hours, as a small line. */
export function ReadyLine({ config }: { config: StagingConfig }) {
  const { data } = useQuery(OF_ALL_POOLS);
  const found = data?.series.find(({ staging_config_id }) => staging_config_id === config.staging_config_id);
  const known = found?.values.filter((value) => value !== null) ?? [];
  if (!found || known.length < 2) return <div className={styles.plot} />;
  const lowest = trimmed(Math.min(...known));
  const highest = trimmed(Math.max(...known));
  const label = t`${lowest} to ${highest} ready sessions`;
  return (
    <div className={styles.plot} data-hint={label}>
      <svg viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={label}>
        <path d={lineOf(found.values)} vectorEffect="non-scaling-stroke" />
      </svg>
    </div>
  );
}
