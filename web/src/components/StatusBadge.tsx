import { t } from '@lingui/core/macro';
import {
  IconCheck,
  IconCircle,
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleXFilled,
  IconHelpCircleFilled,
  IconLoader2,
  IconPlayerPauseFilled,
  type TablerIcon,
} from '@tabler/icons-react';
import type { Schemas } from '../api/types';
import { ToneBadge } from './ToneBadge';
import type { Tone } from './tones';

/** Few looks, each a tone and a shape, so that color alone never carries the meaning. */
const LOOKS: Record<string, { tone: Tone; icon: TablerIcon }> = {
  live: { tone: 'ready', icon: IconCircleCheckFilled },
  staged: { tone: 'staged', icon: IconCircle },
  fine: { tone: 'neutral', icon: IconCheck },
  moving: { tone: 'accent', icon: IconLoader2 },
  resting: { tone: 'neutral', icon: IconPlayerPauseFilled },
  unsure: { tone: 'warning', icon: IconHelpCircleFilled },
  bad: { tone: 'failure', icon: IconCircleXFilled },
  gone: { tone: 'neutral', icon: IconCircleDashed },
};

const LOOK_OF: Record<string, keyof typeof LOOKS> = {
  running: 'live',
  ready: 'live',
  staged: 'staged',
  'on demand': 'fine',
  enabled: 'fine',
  requested: 'moving',
  starting: 'moving',
  assigning: 'moving',
  stopping: 'moving',
  pausing: 'moving',
  deleting: 'moving',
  kept: 'resting',
  'in use': 'fine',
  pending: 'moving',
  stopped: 'resting',
  paused: 'resting',
  disabled: 'resting',
  draining: 'resting',
  'no disk': 'unsure',
  'no runtime': 'unsure',
  present: 'fine',
  pulling: 'moving',
  building: 'moving',
  copying: 'moving',
  absent: 'gone',
  unknown: 'unsure',
  'unknown (disabled)': 'resting',
  unreachable: 'unsure',
  missing: 'unsure',
  quarantined: 'unsure',
  open: 'fine',
  recording: 'moving',
  complete: 'fine',
  'without its end': 'unsure',
  incomplete: 'bad',
  'not stored': 'unsure',
  'second host refused': 'unsure',
  revoked: 'bad',
  lost: 'bad',
  failed: 'bad',
  waiting: 'moving',
  delivered: 'fine',
  'given up': 'bad',
  dead: 'bad',
  locked: 'bad',
  deleted: 'gone',
};

/** The words of the statuses. */
const WORDS: Record<string, string> = {
  running: t`running`,
  ready: t`ready`,
  staged: t`staged`,
  'on demand': t`on demand`,
  enabled: t`enabled`,
  requested: t`requested`,
  starting: t`starting`,
  assigning: t`assigning`,
  stopping: t`stopping`,
  pausing: t`pausing`,
  deleting: t`deleting`,
  kept: t`kept`,
  'in use': t`in use`,
  pending: t`pending`,
  stopped: t`stopped`,
  paused: t`paused`,
  disabled: t`disabled`,
  draining: t`draining`,
  'no disk': t`accepts nothing (disk)`,
  'no runtime': t`accepts nothing (runtime)`,
  present: t({ message: 'present', context: 'status' }),
  pulling: t`pulling`,
  building: t`building`,
  copying: t`copying`,
  absent: t`absent`,
  unknown: t`unknown`,
  'unknown (disabled)': t`unknown (disabled)`,
  unreachable: t`unreachable`,
  missing: t`missing`,
  quarantined: t`quarantined`,
  open: t({ message: 'open', context: 'status' }),
  recording: t({ message: 'recording', context: 'status' }),
  complete: t({ message: 'complete', context: 'status' }),
  'without its end': t`without its end`,
  incomplete: t`incomplete`,
  'not stored': t`not stored`,
  'second host refused': t`second host refused`,
  revoked: t`revoked`,
  lost: t`lost`,
  failed: t`failed`,
  waiting: t`waiting`,
  delivered: t`delivered`,
  'given up': t`given up`,
  dead: t`dead`,
  locked: t`locked`,
  deleted: t`deleted`,
  'used up': t`used up`,
  expired: t`expired`,
};

/** The hints of statuses whose words do not state what happened. */
const HINTS: Record<string, string> = {
  unreachable: t`The host of this session does not answer at present. The session continues if the host returns soon.`,
  lost: t`The host of this session has not answered for a long time. The session may come back with the host.`,
  'without its end': t`The recording has ended, but the end of the video is missing. Later segments may be missing.`,
  incomplete: t`Parts of the video could not be stored. Verify the video to see them.`,
  'not stored': t`The video is not part of the restored backup, or its first segment was removed.`,
  quarantined: t`The hand-over of this session to a user failed. It is kept for inspection, and no user gets it.`,
  'second host refused': t`Another host used the identity of this Agent and was refused. This Agent itself continues. See its details.`,
};

interface Props {
  status: string;
  /** It is intended: it does not call for attention. */
  intended?: boolean;
  /** Why the item has this status; it is the hint. */
  reason?: string | null | undefined;
  /** The item waits for a user. It is violet if it could be used now. */
  staged?: boolean;
}

/** The statuses that are green: what can be used now. */
export const GREEN = Object.keys(LOOK_OF).filter((status) => LOOKS[LOOK_OF[status] ?? 'gone']?.tone === 'ready');

/** The word of a status in the language of the console. */
export function statusWord(status: string): string {
  return WORDS[status] ?? status;
}

/** The status of an Agent: why it takes no new sessions, or that it runs. All pages use it. */
export function agentStatus({ status, closed }: Pick<Schemas['AgentView'], 'status' | 'closed'>): string {
  switch (closed?.code) {
    case 'disabled':
    case 'draining':
      return closed.code;
    case 'disk':
      return 'no disk';
    case 'runtime':
      return 'no runtime';
    default:
      return status;
  }
}

/** The status of a Manager: as in the api, unknown while it is disabled. All pages use it. */
export function managerStatus({ enabled, running }: { enabled: boolean; running: boolean }): string {
  if (!enabled) return 'unknown (disabled)';
  return running ? 'running' : 'unknown';
}

/** A status of the API in the language of the console. */
export function StatusBadge({ status, intended = false, reason, staged = false }: Props) {
  const own = intended ? 'resting' : (LOOK_OF[status] ?? 'gone');
  const look = LOOKS[staged && own === 'live' ? 'staged' : own];
  if (!look) return null;
  const Icon = look.icon;
  return (
    <ToneBadge tone={look.tone} hint={reason ?? HINTS[status]}>
      <Icon size={12} aria-hidden />
      {statusWord(status)}
    </ToneBadge>
  );
}
