import { t } from '@lingui/core/macro';
import styles from './charts.module.css';
import { type Cursor, useMarked } from './cursor';
import { type ChartSpec, headline, type Line, shown, timeShown } from './shaping';

interface Props {
  spec: ChartSpec<string>;
  times: number[];
  lines: Line[];
  cursor: Cursor;
}

/** The lines of a chart, each with its value at the marked time, or with the number of the whole period. */
export function Legend({ spec, times, lines, cursor }: Props) {
  const marked = useMarked(cursor, times);
  return (
    <ul className={styles.legend}>
      {spec.lines.map(({ name, label, color, isGoal }) => {
        const values = lines.find((line) => line.name === name)?.values ?? [];
        const value = marked === null ? headline(values, spec.isSum ?? false) : values[marked];
        return (
          <li key={name} className={styles.entry}>
            <span className={styles.mark} data-color={color} data-goal={isGoal ?? undefined} aria-hidden />
            {label}
            <span className={styles.value}>{shown(value, spec.unit)}</span>
          </li>
        );
      })}
    </ul>
  );
}

/** What the numbers of the legend stand for: the marked time, or the period. */
export function Meaning({ times, isSum, cursor }: { times: number[]; isSum: boolean; cursor: Cursor }) {
  const marked = useMarked(cursor, times);
  const time = marked === null ? undefined : times[marked];
  return (
    <span className={styles.meaning}>{time !== undefined ? timeShown(time) : isSum ? t`Whole period` : t`Latest`}</span>
  );
}
