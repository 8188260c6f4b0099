import { t } from '@lingui/core/macro';
import { VisuallyHidden } from '@mantine/core';
import { useLiveState } from '../api/live';
import { silentSeconds, useClock } from '../components/clock';
import styles from './LiveBadge.module.css';

const LOOKS = {
  connecting: { tone: 'neutral', text: t`Connecting`, hint: t`Subscribing to changes` },
  live: { tone: 'ready', text: t`Live`, hint: t`This page is updated automatically` },
  reconnecting: {
    tone: 'warning',
    text: t`Reconnecting`,
    hint: t`This page may be out of date. It is updated when the connection is back.`,
  },
};

/** Shows whether the page is updated live, and how long the server has been silent. Screen readers read no seconds. */
export function LiveBadge() {
  const { tone, text, hint } = LOOKS[useLiveState()];
  const silentS = useClock(silentSeconds);
  return (
    <span
      className={styles.live}
      role="status"
      data-tone={silentS ? 'warning' : tone}
      data-hint={hint}
      data-testid="live"
    >
      {silentS ? (
        <>
          <span aria-hidden>{t`No answer for ${silentS} s`}</span>
          <VisuallyHidden>{t`No answer`}</VisuallyHidden>
        </>
      ) : (
        text
      )}
    </span>
  );
}
