import { t } from '@lingui/core/macro';
import type { User } from '../../../api/types';
import { TimeAgo } from '../../../components/TimeAgo';
import { useLinks } from '../../../components/useLinks';

/** The time of the last launch of a user, as a link to its session. */
export function LastSession({ user }: { user: User }) {
  const to = useLinks();
  const time = <TimeAgo time={user.last_launched} none={t`none`} />;
  const id = user.last_launched_session_id;
  return id ? to(`/admin/sessions/${id}`, time, 'sessions_view') : time;
}
