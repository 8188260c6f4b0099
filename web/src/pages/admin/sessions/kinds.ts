import { t } from '@lingui/core/macro';
import type { SessionQuestion } from '../../../api/sessionList';
import type { Session } from '../../../api/types';

/** The kinds of sessions: with a user, staged, or quarantined for inspection. */
export const KINDS = ['with a user', 'staged', 'quarantined'] as const;
export type Kind = (typeof KINDS)[number];

/** The titles of the kinds. */
export const KIND_TITLES: Record<Kind, string> = {
  'with a user': t`With a user`,
  staged: t`Staged`,
  quarantined: t`Quarantined`,
};

export function kindOf({ user_id, staging_config_id, set_aside_reason }: Session): Kind {
  if (user_id || !staging_config_id) return 'with a user';
  return set_aside_reason ? 'quarantined' : 'staged';
}

/** The condition of the request for each kind. */
export const QUESTIONS: Record<Kind, SessionQuestion> = {
  'with a user': { staged: false },
  staged: { staged: true },
  quarantined: { set_aside: true },
};

/** The username, or the kind of a session without a user. */
export function ownerOf(session: Session): string {
  const words: Record<Kind, string> = {
    'with a user': '–',
    staged: t`staged, no user yet`,
    quarantined: t`quarantined: the hand-over to a user failed`,
  };
  return session.username ?? words[kindOf(session)];
}

/** The name of a session in sentences. */
export function nameOf(session: Session): string {
  const { username, image_friendly_name: workspace } = session;
  if (username) return t`${username}’s ${workspace}`;
  return kindOf(session) === 'quarantined' ? t`this quarantined ${workspace}` : t`this staged ${workspace}`;
}

/** The consequence of a deletion. */
export function consequenceOf(session: Session): string {
  const words: Record<Kind, string> = {
    'with a user': t`The session in zone ${{ zone: session.zone_name }} ends. All its data that is not saved elsewhere is lost.`,
    staged: t`The pool replaces it with a new session.`,
    quarantined: t`Its container is removed and can no longer be inspected.`,
  };
  return words[kindOf(session)];
}
