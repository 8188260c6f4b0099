import {
  IconBomb,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerStop,
  IconTrash,
  type TablerIcon,
} from '@tabler/icons-react';
import { orderSession, type Ordered } from '../api/actions';
import type { Session, SessionAction } from '../api/types';
import { useAction } from './useAction';

export interface Look {
  label: string;
  icon: TablerIcon;
  /** What is lost; without it nothing is, and no confirmation is asked for. */
  warning?: string;
}

/** What can be done with a session, in the order in which it is offered; `actions` of a session says what may be. */
export const ACTIONS: Record<SessionAction, Look> = {
  resume: { label: 'Resume', icon: IconPlayerPlay },
  pause: { label: 'Pause', icon: IconPlayerPause },
  stop: {
    label: 'Stop',
    icon: IconPlayerStop,
    warning: 'Its programs end, and what they have not saved is lost. Its disk is kept until it is resumed.',
  },
  delete: {
    label: 'Delete',
    icon: IconTrash,
    warning: 'The session ends and everything in it that was not saved elsewhere is lost.',
  },
  force_delete: {
    label: 'Force Delete',
    icon: IconBomb,
    warning:
      'The session ends at once for everybody, also when its Agent does not answer. Its container is removed when the Agent is back.',
  },
};

/** What is known of a session's home folder: how a profile is its home, null = none is. */
export type Home = Pick<Session, 'persistent_profile_mode'>;

/** Which of a session's files outlive it. */
export function keptOf({ persistent_profile_mode: mode }: Home): string {
  return mode ? 'Its home folder is kept for your next session.' : 'None of its files are kept.';
}

/** An action as the session's own user is offered it: named for what is lost, with what is kept. */
export function ownLook(action: SessionAction, session: Home): Look {
  const look = ACTIONS[action];
  const home = session.persistent_profile_mode;
  if (action === 'stop')
    return { ...look, warning: 'Its programs end: save your work in them first. Its files are kept until you resume.' };
  if (action === 'delete')
    return {
      ...look,
      label: 'End and discard',
      warning: home
        ? 'The session ends. Your home folder is kept; files outside it and what programs have not saved are lost.'
        : 'The session ends and all its files are lost, those in the home folder too. Download what you need first, or stop it instead.',
    };
  return look;
}

/** Those of `ACTIONS` the caller may take, in order. */
export function offered(actions: readonly SessionAction[]): SessionAction[] {
  return (Object.keys(ACTIONS) as SessionAction[]).filter((action) => actions.includes(action));
}

/** Carry out an action; the lists that show sessions are read again. */
export function useSessionOrder(session: Ordered) {
  return useAction(
    (action: SessionAction) => orderSession(session, action),
    ['sessions', 'connection', 'staging-configs'],
    'The session was not changed',
  );
}
