import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Loader, Progress } from '@mantine/core';
import { useReducedMotion } from '@mantine/hooks';
import { IconCircleCheckFilled, IconCircleDotted } from '@tabler/icons-react';
import { useContext, useLayoutEffect, useRef } from 'react';
import { Link } from 'react-router';
import { messageOf } from '../../api/client';
import type { Connection, Step } from '../../api/types';
import { useClock } from '../../components/clock';
import { locale } from '../../language';
import styles from './Connecting.module.css';
import { estimateOf, OpeningContext, playOpening } from './opening';

/** The progress until the first picture. Each line is a step that the server recorded. */
export function Connecting({ connection, error }: { connection: Connection | null; error: unknown }) {
  const percent = connection?.operational_progress ?? 0;
  const steps = connection?.steps ?? [];
  const current = steps.findIndex((step) => !step.at);
  return (
    <div className={styles.place}>
      <div className={styles.card}>
        <div className={styles.head}>
          <Picture />
          <div>
            <h1>
              <Trans>Preparing your session</Trans>
            </h1>
            <p role="status" aria-live="polite">
              {connection?.operational_message ?? t`Loading the state`}…
            </p>
            <Estimate since={steps[0]?.at ?? null} />
          </div>
        </div>
        <Progress value={percent} size="lg" radius="xl" aria-label={t`Progress`} transitionDuration={200} />
        <ol className={styles.steps} aria-label={t`Steps`}>
          {steps.map((step, index) => (
            <StepLine key={step.name} step={step} isCurrent={index === current} since={steps[0]?.at ?? null} />
          ))}
        </ol>
        {error != null && (
          <Alert color="yellow" variant="light" role="alert">
            {messageOf(error)}
          </Alert>
        )}
        <Button component={Link} to="/" variant="default">
          <Trans>Back to the workspaces</Trans>
        </Button>
      </div>
    </div>
  );
}

/** The usual time of the start, which began at `since`. It has its place from the beginning, so that nothing moves. */
function Estimate({ since }: { since: string | null }) {
  const expectedS = useContext(OpeningContext)?.expectedS;
  const words = useClock((now) => estimateOf(expectedS, since ? (now - Date.parse(since)) / 1000 : 0) ?? undefined);
  return words === undefined ? null : <p>{words}</p>;
}

/** The artwork of the workspace, which comes from its tile, or the mark of the product. */
function Picture() {
  const opening = useContext(OpeningContext);
  const image = useRef<HTMLImageElement>(null);
  const isReduced = useReducedMotion();
  useLayoutEffect(() => {
    if (image.current && opening) playOpening(image.current, opening, isReduced);
  }, [opening, isReduced]);
  if (typeof opening?.picture !== 'string') return <img src="/favicon.svg" className={styles.mark} alt="" />;
  return <img ref={image} src={opening.picture} className={styles.picture} alt="" />;
}

const ONE_PLACE = { minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false };

/** A number of seconds with one decimal place. */
function seconds(value: number): string {
  return value.toLocaleString(locale(), ONE_PLACE);
}

function StepLine({ step, isCurrent, since }: { step: Step; isCurrent: boolean; since: string | null }) {
  const took = step.at && since ? (Date.parse(step.at) - Date.parse(since)) / 1000 : null;
  return (
    <li
      className={styles.step}
      data-step={step.name}
      data-done={step.at !== null}
      data-current={isCurrent || undefined}
    >
      {step.at ? (
        <IconCircleCheckFilled size={20} aria-label={t`done`} />
      ) : isCurrent ? (
        <Loader size={20} role="img" aria-label={t`now`} />
      ) : (
        <IconCircleDotted size={20} aria-label={t`not started`} />
      )}
      <span>{step.title}</span>
      {took !== null && took > 0 && <span className={styles.took}>{seconds(took)} s</span>}
    </li>
  );
}
