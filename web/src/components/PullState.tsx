import { Group, Progress } from '@mantine/core';
import type { Agent } from '../api/types';
import { StatusBadge } from './StatusBadge';

type Pull = Pick<Agent['images'][number], 'state' | 'progress'>;

/** How far an Agent is with an image: present, absent or failed; while it is pulled, how much is there. */
export function PullState({ pull, label }: { pull: Pull; label: string }) {
  return (
    <Group gap="sm" wrap="nowrap">
      <StatusBadge status={pull.state} />
      {pull.state === 'pulling' && <Progress value={pull.progress} w={120} animated aria-label={label} />}
    </Group>
  );
}
