import { t } from '@lingui/core/macro';
import type { Session } from '../../../api/types';
import { TimeAgo } from '../../../components/TimeAgo';
import { withSettingTitles } from '../../../components/titles';
import { kindOf } from './kinds';

const WORDS: Record<string, string> = { delete: t`deleted`, stop: t`stopped`, pause: t`paused` };
const WORDS_UNLESS_IN_USE: Record<string, string> = {
  delete: t`deleted unless in use`,
  stop: t`stopped unless in use`,
  pause: t`paused unless in use`,
};

/** The time, the action and the rule of the next automatic action. A quarantined session has none. */
export function Expiry({ session }: { session: Session }) {
  if (kindOf(session) === 'quarantined') return '–';
  const words = session.expires === session.time_limit_ends ? WORDS : WORDS_UNLESS_IN_USE;
  const what = session.expires_action && words[session.expires_action];
  return (
    <>
      <TimeAgo time={session.expires} none={t`never`} />
      {what && session.expires && (
        <span
          className="row-note beside nowrap mantine-focus-auto"
          {...(session.expires_reason ? { tabIndex: 0, 'data-hint': withSettingTitles(session.expires_reason) } : {})}
        >
          {what}
        </span>
      )}
    </>
  );
}
