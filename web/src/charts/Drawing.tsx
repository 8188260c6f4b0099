import { t } from '@lingui/core/macro';
import { Suspense } from 'react';
import { ErrorBoundary } from '../app/ErrorBoundary';
import { lazily } from '../components/lazily';
import styles from './charts.module.css';
import type { Props } from './Plot';

/** The drawing and its library are loaded when the first chart is shown. */
const Plot = lazily<'Plot', Props>(() => import('./Plot'), 'Plot');

/** The drawing of a chart. Its errors stay in the chart. */
export function Drawing(props: Props) {
  const instead = ({ message }: Error) => <p className={styles.nothing}>{t`This chart cannot be drawn: ${message}`}</p>;
  return (
    <ErrorBoundary instead={instead}>
      <Suspense fallback={<div className={styles.loading} aria-busy />}>
        <Plot {...props} />
      </Suspense>
    </ErrorBoundary>
  );
}
