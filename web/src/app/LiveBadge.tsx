import { Badge, Tooltip } from '@mantine/core';
import { useLiveState } from '../api/live';

const LOOKS = {
  connecting: { color: 'gray', text: 'Connecting', hint: 'Subscribing to changes' },
  live: { color: 'ready', text: 'Live', hint: 'This page is updated automatically' },
  reconnecting: {
    color: 'yellow',
    text: 'Reconnecting',
    hint: 'This page may be out of date. It is updated when the connection is back.',
  },
};

/** Shows whether the page is updated live. */
export function LiveBadge() {
  const look = LOOKS[useLiveState()];
  return (
    <Tooltip label={look.hint}>
      <Badge
        variant="dot"
        color={look.color}
        role="status"
        miw="max-content"
        data-testid="live"
        styles={{ label: { color: 'var(--mantine-color-text)' } }}
      >
        {look.text}
      </Badge>
    </Tooltip>
  );
}
