import { t } from '@lingui/core/macro';
import { VisuallyHidden } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useId, useMemo } from 'react';
import { logHistogramQuery, type LogQuestion } from '../../../api/queries';
import type { Schemas } from '../../../api/types';
import { usePageCursor } from '../../../charts/cursor';
import { Drawing } from '../../../charts/Drawing';
import { Legend, Meaning } from '../../../charts/Legend';
import { Marker } from '../../../charts/Marker';
import { inAddress } from '../../../charts/range';
import type { ChartSpec, Line, LineSpec } from '../../../charts/shaping';
import { enabledWhile, LEVELS } from './logFilter';
import styles from './LogHistogram.module.css';

type Level = (typeof LEVELS)[number];

/** The worst level is at the bottom, where few rows are easy to see. */
const LINES: LineSpec<Level>[] = [
  { name: 'ERROR', label: 'ERROR', color: 'failure' },
  { name: 'WARNING', label: 'WARNING', color: 'warning' },
  { name: 'INFO', label: 'INFO', color: 'neutral' },
  { name: 'DEBUG', label: 'DEBUG', color: 'chart-4' },
];

interface Props {
  question: LogQuestion;
  /** Whether new rows appear automatically. */
  live: boolean;
  /** Show the rows of a period. */
  onPeriod: (since: string, until: string) => void;
}

/** The numbers of rows over time by level. Dragging over a part selects its period. */
export function LogHistogram({ question, live, onPeriod }: Props) {
  const histogram = useQuery({ ...logHistogramQuery(question), enabled: enabledWhile(live) }).data;
  const cursor = usePageCursor();
  const id = useId();
  const spec = useMemo(() => specOf(question.level), [question.level]);
  const { times, lines } = useMemo(() => shapeOf(spec, histogram), [spec, histogram]);
  const zoom = (since: number, until: number) => {
    const step = histogram?.step_s ?? 1;
    onPeriod(inAddress(Math.floor(since / step) * step), inAddress(Math.ceil(until / step) * step));
  };
  return (
    <section className={styles.histogram} aria-labelledby={id}>
      <VisuallyHidden id={id}>{spec.title}</VisuallyHidden>
      <div className={styles.head}>
        <Legend spec={spec} times={times} lines={lines} cursor={cursor} />
        {histogram?.is_part && <span className={styles.note}>{t`The newest 50,000 rows`}</span>}
        <Meaning times={times} isSum cursor={cursor} />
      </div>
      {times.length > 1 ? (
        <Marker spec={spec} times={times} lines={lines} cursor={cursor} onPeriod={zoom} labelledBy={id}>
          <Drawing times={times} lines={lines} kind="bars" unit="number" cursor={cursor} onZoom={zoom} />
        </Marker>
      ) : (
        <div className={styles.waiting} />
      )}
    </section>
  );
}

/** The lines of a level and of those above it. */
function specOf(level: Level): ChartSpec<Level> {
  const lines = LINES.filter(({ name }) => LEVELS.indexOf(name) >= LEVELS.indexOf(level));
  return { title: t`Log rows over time`, note: '', kind: 'bars', unit: 'number', isSum: true, lines };
}

function shapeOf(spec: ChartSpec<Level>, histogram: Schemas['LogHistogramView'] | undefined) {
  if (!histogram) return { times: [], lines: [] };
  const { begin, step_s, counts } = histogram;
  const first = Date.parse(begin) / 1000;
  const lines: Line[] = spec.lines.map((line) => ({ ...line, values: counts[line.name] ?? [] }));
  return { times: (lines[0]?.values ?? []).map((_, index) => first + index * step_s), lines };
}
