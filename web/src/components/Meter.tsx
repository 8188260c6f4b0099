import { Trans } from '@lingui/react/macro';
import { Progress } from '@mantine/core';
import styles from './Meter.module.css';

interface Props {
  used: number;
  total: number;
  /** The format of the numbers. */
  format: (value: number) => string;
  label: string;
}

/** A bar that shows the used part of a total. */
export function Meter({ used, total, format, label }: Props) {
  const percent = total > 0 ? Math.min(100, (used / total) * 100) : 0;
  const part = format(used);
  const whole = format(total);
  return (
    <div className={styles.meter}>
      <Progress
        className={styles.bar}
        value={percent}
        size="sm"
        color={percent > 90 ? 'failure' : 'accent'}
        aria-label={label}
      />
      <span className="nowrap number">
        <Trans>
          {part} of {whole}
        </Trans>
      </span>
    </div>
  );
}
