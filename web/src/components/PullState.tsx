import { Group, Progress } from '@mantine/core';
import type { Agent } from '../api/types';
import { StatusBadge } from './StatusBadge';

type Pull = Pick<Agent['images'][number], 'state' | 'how' | 'progress'>;

/** How far an Agent is with an image: present, absent or failed; while it is on its way, how it comes and how much is there. */
export function PullState({ pull, label }: { pull: Pull; label: string }) {
  const isComing = pull.state === 'pulling';
  return (
    <Group gap="sm" wrap="nowrap">
      <StatusBadge status={(isComing && pull.how) || pull.state} />
      {isComing && <Progress value={pull.progress} flex="1 1 40px" maw={120} miw={40} animated aria-label={label} />}
    </Group>
  );
}
