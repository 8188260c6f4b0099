import { t } from '@lingui/core/macro';
import { Alert, Loader, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconCloudOff, type TablerIcon } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { isTemporary, messageOf } from '../api/client';
import { WhyRefused } from '../why/WhyRefused';
import { useClock } from './clock';
import styles from './feedback.module.css';

const SHARED = {
  withBorder: true,
  closeButtonProps: { 'aria-label': t`Dismiss` },
};

/** Show that an action was refused or failed, with the reason. */
export function showError(title: string, error: unknown): void {
  const message = (
    <>
      {messageOf(error)} <WhyRefused error={error} />
    </>
  );
  notifications.show({ ...SHARED, color: 'red', title, message, autoClose: 10_000 });
}

export function showDone(message: string, color = 'accent'): void {
  notifications.show({ ...SHARED, color, message });
}

/** Show that an action was done with a warning. The notice stays long enough to be read. */
export function showWarning(title: string, message: string): void {
  notifications.show({ ...SHARED, color: 'yellow', title, message, autoClose: 20_000 });
}

/** A notice above data that could not be updated, or instead of missing data. */
export function StaleBanner({ error, hasData }: { error: unknown; hasData: boolean }) {
  if (!error) return null;
  const away = isTemporary(error);
  return (
    <Alert
      color={away ? 'yellow' : 'red'}
      variant="light"
      role="status"
      icon={<IconCloudOff aria-hidden />}
      title={away ? t`The server does not answer at the moment` : t`This could not be loaded`}
    >
      <Text size="sm">
        {away ? '' : `${messageOf(error)} `}
        {hasData
          ? t`This page shows the last known state and is updated automatically.`
          : away
            ? t`The page tries again automatically.`
            : ''}{' '}
        <WhyRefused error={error} />
      </Text>
    </Alert>
  );
}

/** After this time, a waiting page shows how long it has waited. */
const USUAL_S = 3;

/** The words of a page that waits for an answer: none at first, then for how long it has waited. */
export function useLateWords(): string | undefined {
  const [since] = useState(Date.now);
  const waitedS = useClock((now) => Math.floor((now - since) / 1000));
  return waitedS < USUAL_S ? undefined : t`This takes longer than usual: no answer for ${waitedS} s`;
}

/** The words of `useLateWords`, and `children` before. */
export function LateWords({ children }: { children?: ReactNode }) {
  return useLateWords() ?? children;
}

/** A page whose code or user is not known yet. */
export function Waiting() {
  return (
    <div className={styles.waiting}>
      <Loader aria-label={t`Loading`} />
      <p className={styles.late}>
        <LateWords />
      </p>
    </div>
  );
}

interface EmptyProps {
  icon: TablerIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  /** The notice replaces the whole page, so its title is the heading. */
  isPage?: boolean;
}

/** An empty list: a description of its items and the way to create the first one. */
export function EmptyState({ icon, title, children, action, isPage = false }: EmptyProps) {
  const Title = isPage ? 'h1' : 'p';
  return (
    <div className={styles.empty}>
      <Drawing icon={icon} />
      <Title className={styles.title}>{title}</Title>
      {children && <div className={styles.text}>{children}</div>}
      {action}
    </div>
  );
}

/** The drawing of an empty list: a sheet without entries, and the picture of the page. */
function Drawing({ icon: Icon }: { icon: TablerIcon }) {
  return (
    <svg className={styles.drawing} width={132} height={88} viewBox="0 0 132 88" aria-hidden>
      <rect className={styles.sheet} x="13" y="9" width="98" height="66" rx="6" />
      <path className={styles.line} d="M13 25h98M24 17h22M58 17h14" />
      <path className={styles.missing} d="M24 37h46M24 49h60M24 61h34" />
      <circle className={styles.disc} cx="105" cy="66" r="19" />
      <Icon className={styles.picture} x={94} y={55} size={22} stroke={1.6} />
    </svg>
  );
}
