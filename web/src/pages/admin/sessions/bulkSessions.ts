import { t } from '@lingui/core/macro';
import { orderSession } from '../../../api/actions';
import type { Session, SessionAction } from '../../../api/types';
import type { Bulk } from '../../../components/bulk';
import { ACTIONS, offered } from '../../../components/sessionActions';
import { consequenceOf, nameOf, ownerOf } from './kinds';

/** What an action does with a session, in one sentence. */
const EFFECTS: Record<SessionAction, (session: Session) => string> = {
  resume: () => t`The session continues.`,
  pause: () => t`The programs of the session are frozen until it is resumed.`,
  stop: () => t`The programs of the session end. The files on its disk are kept.`,
  delete: consequenceOf,
  force_delete: () => t`The session ends immediately, even if its Agent does not answer.`,
};

/** The statuses in sentences. */
const STATUSES: Record<string, string> = {
  requested: t`requested`,
  starting: t`starting`,
  running: t`running`,
  assigning: t`assigning`,
  stopping: t`stopping`,
  stopped: t`stopped`,
  pausing: t`pausing`,
  paused: t`paused`,
  deleting: t`deleting`,
  deleted: t`deleted`,
  failed: t`failed`,
  unreachable: t`unreachable`,
  lost: t`lost`,
};

/** The actions for the selected sessions of a list. */
export const BULK_SESSIONS: Bulk<Session> = {
  noun: 'session',
  nameOf: (session) => (session.username ? nameOf(session) : `${session.image_friendly_name} (${ownerOf(session)})`),
  touched: ['sessions', 'session-list', 'connection', 'staging-configs'],
  actions: offered(Object.keys(ACTIONS) as SessionAction[]).map((action) => ({
    label: ACTIONS[action].label,
    icon: ACTIONS[action].icon,
    effect: EFFECTS[action],
    refusal: ({ actions, status }) =>
      actions.includes(action)
        ? null
        : t`The session is ${{ status: STATUSES[status] ?? status }}. You cannot do this with it now.`,
    run: (session) => orderSession(session, action),
    isDangerous: ACTIONS[action].warning !== undefined,
  })),
};
