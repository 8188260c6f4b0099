import type { Session } from '../../../api/types';
import { TimeAgo } from '../../../components/TimeAgo';
import { withSettingTitles } from '../../../components/titles';
import { kindOf } from './kinds';

const VERBS: Record<string, string> = { delete: 'deleted', stop: 'stopped', pause: 'paused' };

/** The time, the action and the rule of the next automatic action. A quarantined session has none. */
export function Expiry({ session }: { session: Session }) {
  if (kindOf(session) === 'quarantined') return '–';
  const what = session.expires_action && VERBS[session.expires_action];
  return (
    <>
      <TimeAgo time={session.expires} none="never" />
      {what && session.expires && (
        <span
          className="row-note beside nowrap mantine-focus-auto"
          {...(session.expires_reason ? { tabIndex: 0, 'data-hint': withSettingTitles(session.expires_reason) } : {})}
        >
          {what}
          {session.expires === session.time_limit_ends ? '' : ' unless opened'}
        </span>
      )}
    </>
  );
}
