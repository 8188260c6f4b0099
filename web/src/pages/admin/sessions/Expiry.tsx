import { Text, Tooltip } from '@mantine/core';
import type { Session } from '../../../api/types';
import { TimeAgo } from '../../../components/TimeAgo';
import { kindOf } from './kinds';

const VERBS: Record<string, string> = { delete: 'deleted', stop: 'stopped', pause: 'paused' };

/** When something happens to a session by itself, what, and by which rule; one that was set aside stays. */
export function Expiry({ session }: { session: Session }) {
  if (kindOf(session) === 'set aside') return '–';
  const what = session.expires_action && VERBS[session.expires_action];
  return (
    <>
      <TimeAgo time={session.expires} none="never" />
      {what && session.expires && (
        <Tooltip label={session.expires_reason} disabled={!session.expires_reason} multiline maw={380}>
          <Text size="xs" c="dimmed" className="nowrap" tabIndex={0}>
            {what}
            {session.expires === session.time_limit_ends ? '' : ' unless used'}
          </Text>
        </Tooltip>
      )}
    </>
  );
}
