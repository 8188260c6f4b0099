import { t } from '@lingui/core/macro';
import styles from '../../../charts/charts.module.css';
import { TimeRange } from '../../../charts/TimeRange';
import { useRange } from '../../../charts/useRange';
import { SeriesCharts } from './SeriesCharts';
import { POOLS } from './specs';

const POOL = [{ ...POOLS, title: t`Ready sessions`, note: t`Staged sessions of this pool.` }];

/** How the pool of a staging config changes over time. */
export function PoolTrends({ configId }: { configId: string }) {
  const { range, show } = useRange();
  return (
    <>
      <div className={styles.bar}>
        <TimeRange range={range} onChange={show} />
      </div>
      <SeriesCharts charts={POOL} range={range} onRange={show} only={{ staging_config_id: configId }} />
    </>
  );
}
