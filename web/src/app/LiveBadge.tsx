import { t } from '@lingui/core/macro';
import { useLiveState } from '../api/live';
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

/** Shows whether the page is updated live. */
export function LiveBadge() {
  const { tone, text, hint } = LOOKS[useLiveState()];
  return (
    <span className={styles.live} role="status" data-tone={tone} data-hint={hint} data-testid="live">
      {text}
    </span>
  );
}
