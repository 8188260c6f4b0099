import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { bytes } from '../../../components/format';
import styles from './RecentUse.module.css';
import { lineOf, type Sample } from './samples';

/** The CPU and the memory of a session since the page was opened, as two small lines. */
export function RecentUse({ samples }: { samples: Sample[] }) {
  const cpu = samples.map((each) => each.cpu);
  const memory = samples.map((each) => each.memory);
  if (samples.length < 2)
    return (
      <span className="dimmed">
        <Trans>The page records it while it is open.</Trans>
      </span>
    );
  return (
    <div className={styles.lines}>
      <Line title={t`CPU`} values={cpu} format={(used) => `${Math.round(used * 100)} %`} />
      <Line title={t`Memory`} values={memory} format={bytes} />
    </div>
  );
}

interface LineProps {
  title: string;
  values: number[];
  format: (value: number) => string;
}

function Line({ title, values, format }: LineProps) {
  const lowest = format(Math.min(...values));
  const highest = format(Math.max(...values));
  return (
    <figure className={styles.line}>
      <figcaption className={styles.title}>{title}</figcaption>
      <svg
        className={styles.plot}
        viewBox="0 0 100 24"
        preserveAspectRatio="none"
        role="img"
        aria-label={t`${title}: ${lowest} to ${highest}`}
      >
        <path d={lineOf(values)} vectorEffect="non-scaling-stroke" />
      </svg>
      <span className={`${styles.span} number`}>
        {lowest} – {highest}
      </span>
    </figure>
  );
}
