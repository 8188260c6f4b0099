import { useQuery } from '@tanstack/react-query';
import { seriesQuery } from '../../../api/series';
import { usePageCursor } from '../../../charts/cursor';
import type { Range } from '../../../charts/range';
import styles from '../../../charts/charts.module.css';
import { TimeChart } from '../../../charts/TimeChart';
import { StaleBanner } from '../../../components/feedback';
import type { NeededChart } from './specs';

interface Props {
  charts: NeededChart[];
  range: Range;
  onRange: (range: Range) => void;
  /** Only the values of this zone or pool. */
  only?: { zone_id?: string; staging_config_id?: string };
}

/** Charts of one period, with one request and one marked time. */
export function SeriesCharts({ charts, range, onRange, only }: Props) {
  const cursor = usePageCursor();
  const names = charts.flatMap(({ lines }) => lines.map(({ name }) => name));
  const { data, error } = useQuery(seriesQuery(range, names, only));
  return (
    <>
      <StaleBanner error={error} hasData={data !== undefined} />
      <div className={styles.grid}>
        {charts.map((spec) => (
          <TimeChart
            key={spec.title}
            spec={spec}
            answer={data}
            cursor={cursor}
            onPeriod={(since, until) => onRange({ since, until })}
          />
        ))}
      </div>
    </>
  );
}
