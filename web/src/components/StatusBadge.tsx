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
  present: 'fine',
  pulling: 'moving',
  building: 'moving',
  copying: 'moving',
  absent: 'gone',
  unknown: 'unsure',
  unreachable: 'unsure',
  missing: 'unsure',
  quarantined: 'unsure',
  open: 'fine',
  recording: 'moving',
  complete: 'fine',
  'without its end': 'unsure',
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

/** The hints of statuses whose words do not state what happened. */
const HINTS: Record<string, string> = {
  unreachable: 'The host of this session does not answer at present. The session continues if the host returns soon.',
  lost: 'The host of this session has not answered for a long time. The session may come back with the host.',
  'without its end': 'The recording has ended, but the end of the video is missing. Later segments may be missing.',
  'not stored': 'The video is not part of the restored backup, or its first segment was removed.',
  quarantined: 'The hand-over of this session to a user failed. It is kept for inspection, and no user gets it.',
  'second host refused':
    'Another host used the identity of this Agent and was refused. This Agent itself continues. See its details.',
};

interface Props {
  status: string;
  /** It is intended: it does not call for attention. */
  intended?: boolean;
}

/** The statuses that are green: what can be used now. */
export const GREEN = Object.keys(LOOK_OF).filter((status) => LOOKS[LOOK_OF[status] ?? 'gone']?.tone === 'ready');

/** A status in the words of the API. */
export function StatusBadge({ status, intended = false }: Props) {
  const look = LOOKS[intended ? 'resting' : (LOOK_OF[status] ?? 'gone')];
  if (!look) return null;
  const Icon = look.icon;
  return (
    <ToneBadge tone={look.tone} hint={HINTS[status]}>
      <Icon size={12} aria-hidden />
      {status}
    </ToneBadge>
  );
}
