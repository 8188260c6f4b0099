import { Badge } from '@mantine/core';
import {
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleXFilled,
  IconHelpCircleFilled,
  IconLoader2,
  IconPlayerPauseFilled,
  type TablerIcon,
} from '@tabler/icons-react';

/** Few looks, each a colour and a shape, so that colour alone never carries the meaning. */
const LOOKS: Record<string, { colour: string; icon: TablerIcon; dark?: string }> = {
  good: { colour: 'teal', icon: IconCircleCheckFilled },
  moving: { colour: 'blue', icon: IconLoader2 },
  resting: { colour: 'gray', icon: IconPlayerPauseFilled },
  unsure: { colour: 'yellow', icon: IconHelpCircleFilled, dark: '#6b4200' },
  bad: { colour: 'red', icon: IconCircleXFilled },
  gone: { colour: 'gray', icon: IconCircleDashed },
};

const LOOK_OF: Record<string, keyof typeof LOOKS> = {
  running: 'good',
  ready: 'good',
  enabled: 'good',
  requested: 'moving',
  starting: 'moving',
  assigning: 'moving',
  stopping: 'moving',
  pausing: 'moving',
  deleting: 'moving',
  pending: 'moving',
  stopped: 'resting',
  paused: 'resting',
  disabled: 'resting',
  unknown: 'unsure',
  unreachable: 'unsure',
  missing: 'unsure',
  lost: 'bad',
  failed: 'bad',
  dead: 'bad',
  locked: 'bad',
  deleted: 'gone',
};

/** A status in the words of the API. */
export function StatusBadge({ status }: { status: string }) {
  const look = LOOKS[LOOK_OF[status] ?? 'gone'];
  if (!look) return null;
  const Icon = look.icon;
  return (
    <Badge
      variant="light"
      color={look.colour}
      leftSection={<Icon size={12} aria-hidden />}
      miw="max-content"
      styles={{
        label: { color: `light-dark(${look.dark ?? `var(--mantine-color-${look.colour}-9)`}, var(--mantine-color-${look.colour}-2))` },
        section: { color: `light-dark(var(--mantine-color-${look.colour}-8), var(--mantine-color-${look.colour}-4))` },
      }}
    >
      {status}
    </Badge>
  );
}
