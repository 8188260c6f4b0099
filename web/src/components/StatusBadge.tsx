import {
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleXFilled,
  IconHelpCircleFilled,
  IconLoader2,
  IconPlayerPauseFilled,
  type TablerIcon,
} from '@tabler/icons-react';
import type { CSSProperties } from 'react';
import { type Tone, textIn } from './tones';

/** Few looks, each a tone and a shape, so that color alone never carries the meaning. */
const LOOKS: Record<string, { tone: Tone; icon: TablerIcon }> = {
  good: { tone: 'teal', icon: IconCircleCheckFilled },
  moving: { tone: 'blue', icon: IconLoader2 },
  resting: { tone: 'gray', icon: IconPlayerPauseFilled },
  unsure: { tone: 'yellow', icon: IconHelpCircleFilled },
  bad: { tone: 'red', icon: IconCircleXFilled },
  gone: { tone: 'gray', icon: IconCircleDashed },
};

const LOOK_OF: Record<string, keyof typeof LOOKS> = {
  running: 'good',
  ready: 'good',
  staged: 'good',
  'on demand': 'good',
  enabled: 'good',
  requested: 'moving',
  starting: 'moving',
  assigning: 'moving',
  stopping: 'moving',
  pausing: 'moving',
  deleting: 'moving',
  kept: 'resting',
  'in use': 'good',
  pending: 'moving',
  stopped: 'resting',
  paused: 'resting',
  disabled: 'resting',
  draining: 'resting',
  present: 'good',
  pulling: 'moving',
  building: 'moving',
  copying: 'moving',
  absent: 'gone',
  unknown: 'unsure',
  unreachable: 'unsure',
  missing: 'unsure',
  quarantined: 'unsure',
  open: 'good',
  recording: 'moving',
  complete: 'good',
  'without its end': 'unsure',
  'not stored': 'unsure',
  'second host refused': 'unsure',
  revoked: 'bad',
  lost: 'bad',
  failed: 'bad',
  waiting: 'moving',
  delivered: 'good',
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

function styleOf(tone: Tone): CSSProperties {
  const icon = `light-dark(var(--mantine-color-${tone}-8), var(--mantine-color-${tone}-4))`;
  return {
    background: `var(--mantine-color-${tone}-light)`,
    color: textIn(tone),
    '--status-icon': icon,
  } as CSSProperties;
}

const STYLES: Record<Tone, CSSProperties> = {
  teal: styleOf('teal'),
  blue: styleOf('blue'),
  gray: styleOf('gray'),
  yellow: styleOf('yellow'),
  red: styleOf('red'),
};

interface Props {
  status: string;
  /** It is intended: it does not call for attention. */
  intended?: boolean;
}

/** A status in the words of the API. */
export function StatusBadge({ status, intended = false }: Props) {
  const look = LOOKS[intended ? 'resting' : (LOOK_OF[status] ?? 'gone')];
  if (!look) return null;
  const Icon = look.icon;
  const hint = HINTS[status];
  return (
    <span
      className={hint ? 'status mantine-focus-auto' : 'status'}
      style={STYLES[look.tone]}
      {...(hint ? { tabIndex: 0, 'data-hint': hint } : {})}
    >
      <Icon size={12} aria-hidden />
      {status}
    </span>
  );
}
