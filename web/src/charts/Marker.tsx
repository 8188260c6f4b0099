import type { KeyboardEvent, ReactNode } from 'react';
import styles from './charts.module.css';
import { type Cursor, useMarked } from './cursor';
import { zoomed } from './range';
import { type ChartSpec, type Line, spoken, timeShown } from './shaping';

interface Props {
  spec: ChartSpec<string>;
  times: number[];
  lines: Line[];
  cursor: Cursor;
  onPeriod: (since: number, until: number) => void;
  /** The id of the title. */
  labelledBy: string;
  children: ReactNode;
}

/** The number of points that Page Up and Page Down pass. */
const PAGE = 10;

/** The frame of a drawing: a slider over its times, for the keyboard and for screen readers. */
export function Marker({ spec, times, lines, cursor, onPeriod, labelledBy, children }: Props) {
  const marked = useMarked(cursor, times);
  const last = times.length - 1;
  // The period of the last point has often only begun, and has no value yet.
  const newest = Math.max(
    0,
    ...lines.map(({ values }) => values.reduce<number>((found, value, at) => (value === null ? found : at), 0)),
  );
  const at = marked ?? newest;
  const zoom = (factor: number) => {
    const [since = 0, until = 0, center = 0] = [times[0], times[last], times[at]];
    const period = zoomed({ since, until }, center, factor, Date.now() / 1000);
    onPeriod(period.since, period.until);
  };
  const press = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      PageDown: at - PAGE,
      PageUp: at + PAGE,
      Home: 0,
      End: newest,
    };
    const to = moves[event.key];
    if (to !== undefined) cursor.set(times[Math.max(0, Math.min(last, to))] ?? null);
    else if (event.key === '+' || event.key === '=') zoom(0.5);
    else if (event.key === '-') zoom(2);
    else if (event.key === 'Escape') cursor.set(null);
    else return;
    event.preventDefault();
  };
  return (
    <div
      className={styles.body}
      role="slider"
      tabIndex={0}
      aria-labelledby={labelledBy}
      aria-valuemin={0}
      aria-valuemax={last}
      aria-valuenow={at}
      aria-valuetext={`${timeShown(times[at] ?? 0)}: ${spoken(lines, at, spec.unit)}`}
      onKeyDown={press}
    >
      {children}
    </div>
  );
}
