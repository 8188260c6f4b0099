import { useLiveState } from '../api/live';
import styles from './LiveBadge.module.css';

const LOOKS = {
  connecting: { tone: 'neutral', text: 'Connecting', hint: 'Subscribing to changes' },
  live: { tone: 'ready', text: 'Live', hint: 'This page is updated automatically' },
  reconnecting: {
    tone: 'warning',
    text: 'Reconnecting',
    hint: 'This page may be out of date. It is updated when the connection is back.',
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
