/** The subjects of "Why?". */

import { ApiError } from '../api/client';
import type { Uuid } from '../api/types';

/** What is explained. The server decides how much the user may see of it. */
export type Subject =
  | { kind: 'launch'; id: Uuid }
  | { kind: 'session'; id: Uuid }
  /** A workspace of the user's launcher. */
  | { kind: 'image'; id: Uuid }
  /** A permission of the user. */
  | { kind: 'permission'; id: string }
  | { kind: 'pool'; id: Uuid }
  /** An Agent for any session, or for a session of the workspace `image`. */
  | { kind: 'agent'; id: Uuid; image?: Uuid }
  | { kind: 'manager'; id: Uuid }
  /** The free capacity of all Agents. */
  | { kind: 'capacity' }
  | { kind: 'setting'; id: Uuid; name: string };

/** The subject of a refusal: the launch that was refused, or the missing permission; null = the sentence says it all. */
export function subjectOfRefusal(error: unknown): Subject | null {
  if (!(error instanceof ApiError)) return null;
  const { launch_id: launch, required } = error.details;
  if (typeof launch === 'string') return { kind: 'launch', id: launch };
  const code: unknown = error.status === 403 && Array.isArray(required) ? required[0] : undefined;
  return typeof code === 'string' ? { kind: 'permission', id: code } : null;
}
