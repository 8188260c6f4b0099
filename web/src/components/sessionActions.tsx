import { t } from '@lingui/core/macro';
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
  /** The question before the action. */
  question: (name: string) => string;
  icon: TablerIcon;
  /** The data that the action loses. Without it, the action needs no confirmation. */
  warning?: string;
}

/** All actions of sessions, in the order of the menu. The field `actions` of a session lists the allowed ones. */
export const ACTIONS: Record<SessionAction, Look> = {
  resume: { label: t`Resume`, question: (name) => t`Resume ${name}?`, icon: IconPlayerPlay },
  pause: { label: t`Pause`, question: (name) => t`Pause ${name}?`, icon: IconPlayerPause },
  stop: {
    label: t`Stop`,
    question: (name) => t`Stop ${name}?`,
    icon: IconPlayerStop,
    warning: t`The programs of the session end and unsaved work is lost. The files on its disk are kept and are available again when the session is resumed.`,
  },
  delete: {
    label: t`Delete`,
    question: (name) => t`Delete ${name}?`,
    icon: IconTrash,
    warning: t`The session ends. All its data that is not saved elsewhere is lost.`,
  },
  force_delete: {
    label: t`Force Delete`,
    question: (name) => t`Force Delete ${name}?`,
    icon: IconBomb,
    warning: t`The session ends immediately for everybody, even if its Agent does not answer. Its container is removed when the Agent is back.`,
  },
};

/** The home folder of a session: the mode of its profile, null = none. */
export type Home = Pick<Session, 'persistent_profile_mode'>;

/** The files of a session that are kept after its end. */
export function keptOf({ persistent_profile_mode: mode }: Home): string {
  return mode ? t`Its home folder is kept for your next session.` : t`None of its files are kept.`;
}

/** An action as the user of the session sees it, with the files that are lost and kept. */
export function ownLook(action: SessionAction, session: Home): Look {
  const look = ACTIONS[action];
  const home = session.persistent_profile_mode;
  if (action === 'stop')
    return {
      ...look,
      warning: t`All programs end. Save your work first. The files are kept, and you have them again when you resume the session.`,
    };
  if (action === 'delete')
    return {
      ...look,
      warning: home
        ? t`The session ends. Your home folder is kept. Files outside it and unsaved work are lost.`
        : t`The session ends and all its files are lost, including the home folder. Download the files that you need first, or stop the session instead.`,
    };
  return look;
}

/** The allowed actions in the order of `ACTIONS`. */
export function offered(actions: readonly SessionAction[]): SessionAction[] {
  return (Object.keys(ACTIONS) as SessionAction[]).filter((action) => actions.includes(action));
}

/**
 * Runs an action, calls `onDone`, and reads the lists of sessions again. `onDone` is called even if an event removed the
 * button before the answer arrived.
 */
export function useSessionOrder(session: Ordered, onDone?: () => void) {
  return useAction(
    async (action: SessionAction) => {
      await orderSession(session, action);
      onDone?.();
    },
    ['sessions', 'connection', 'staging-configs'],
    t`The session was not changed`,
  );
}
