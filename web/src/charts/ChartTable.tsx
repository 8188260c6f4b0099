import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import styles from './charts.module.css';
import { type Line, shown, tableOf, timeShown, type Unit } from './shaping';

interface Props {
  title: string;
  times: number[];
  lines: Line[];
  unit: Unit;
}

/** The points of a chart as a table, newest first, in the height of the drawing. */
export function ChartTable({ title, times, lines, unit }: Props) {
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label={t`${title}, as a table`}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">
              <Trans>Time</Trans>
            </th>
            {lines.map(({ name, label }) => (
              <th key={name} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tableOf(times, lines).map(({ time, values }) => (
            <tr key={time}>
              <td>{timeShown(time)}</td>
              {lines.map(({ name }, index) => (
                <td key={name}>{shown(values[index], unit)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
