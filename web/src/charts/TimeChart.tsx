import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { ActionIcon, Title, Tooltip } from '@mantine/core';
import { IconChartLine, IconTable } from '@tabler/icons-react';
import { useId, useMemo, useState } from 'react';
import type { SeriesAnswer } from '../api/series';
import { ChartTable } from './ChartTable';
import styles from './charts.module.css';
import type { Cursor } from './cursor';
import { Drawing } from './Drawing';
import { Legend, Meaning } from './Legend';
import { Marker } from './Marker';
import { type ChartSpec, hasValues, linesOf, timesOf } from './shaping';

interface Props {
  spec: ChartSpec;
  /** Undefined while it loads. */
  answer: SeriesAnswer | undefined;
  cursor: Cursor;
  /** Show another period, in seconds since 1970. */
  onPeriod: (since: number, until: number) => void;
}

/**
 * A chart over time: a title, the lines with their numbers, and a drawing or a table of the same facts.
 *
 * With the keyboard, arrows move the marked time, and + and − change the period around it. The drawing is a slider for
 * screen readers, whose value is the marked time with its numbers.
 */
export function TimeChart({ spec, answer, cursor, onPeriod }: Props) {
  const [isTable, setTable] = useState(false);
  const id = useId();
  const times = useMemo(() => (answer ? timesOf(answer) : []), [answer]);
  const lines = useMemo(() => (answer ? linesOf(spec, answer) : []), [spec, answer]);
  const { title } = spec;
  return (
    <section className={styles.chart} aria-labelledby={id}>
      <div className={styles.head}>
        <div className={styles.words}>
          <Title order={2} size="h5" id={id}>
            {title}
          </Title>
          <p className={styles.note}>{spec.note}</p>
        </div>
        <Meaning times={times} isSum={spec.isSum ?? false} cursor={cursor} />
        <Tooltip label={isTable ? t`Show as chart` : t`Show as table`}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={isTable ? t`Show as chart: ${title}` : t`Show as table: ${title}`}
            onClick={() => setTable(!isTable)}
          >
            {isTable ? <IconChartLine size={18} aria-hidden /> : <IconTable size={18} aria-hidden />}
          </ActionIcon>
        </Tooltip>
      </div>
      <Legend spec={spec} times={times} lines={lines} cursor={cursor} />
      {!answer ? (
        <div className={styles.loading} aria-busy />
      ) : !hasValues(lines) ? (
        <p className={styles.nothing}>
          <Trans>Nothing was recorded in this period.</Trans>
        </p>
      ) : isTable ? (
        <ChartTable title={title} times={times} lines={lines} unit={spec.unit} />
      ) : (
        <Marker spec={spec} times={times} lines={lines} cursor={cursor} onPeriod={onPeriod} labelledBy={id}>
          <Drawing times={times} lines={lines} kind={spec.kind} unit={spec.unit} cursor={cursor} onZoom={onPeriod} />
        </Marker>
      )}
    </section>
  );
}
