import type { Session } from '../../../api/types';

/** What a session is to people: somebody's, waiting for somebody, or taken from a pool to be looked at. */
export const KINDS = ['in use', 'staged', 'set aside'] as const;
export type Kind = (typeof KINDS)[number];

export function kindOf({ user_id, staging_config_id, set_aside_reason }: Session): Kind {
  if (user_id || !staging_config_id) return 'in use';
  return set_aside_reason ? 'set aside' : 'staged';
}

/** The username, or what a session without a user is. */
export function ownerOf(session: Session): string {
  const words: Record<Kind, string> = { 'in use': '–', staged: 'staged, no user yet', 'set aside': 'set aside' };
  return session.username ?? words[kindOf(session)];
}
