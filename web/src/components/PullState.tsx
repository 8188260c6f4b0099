import { t } from '@lingui/core/macro';
import { Group, Progress, Text, Tooltip } from '@mantine/core';
import type { Agent } from '../api/types';
import { bytes } from './format';
import { StatusBadge } from './StatusBadge';

type Pull = Pick<Agent['images'][number], 'state' | 'how' | 'reason' | 'progress' | 'size_bytes'>;

/** The state of an image on an Agent: present, absent or failed. During a transfer it shows the source, its reason and the
 * progress. */
export function PullState({ pull, label }: { pull: Pull; label: string }) {
  const isComing = pull.state === 'pulling';
  const part = bytes((pull.size_bytes * pull.progress) / 100);
  const whole = bytes(pull.size_bytes);
  return (
    <Group gap="sm" wrap="nowrap">
      <Tooltip label={pull.reason} disabled={!isComing || pull.reason === ''} multiline maw={320}>
        <span>
          <StatusBadge status={(isComing && pull.how) || pull.state} />
        </span>
      </Tooltip>
      {isComing && pull.size_bytes > 0 && (
        <Text size="xs" c="dimmed" className="number nowrap">
          {t`${part} of ${whole}`}
        </Text>
      )}
      {isComing && <Progress value={pull.progress} flex="1 1 40px" maw={120} miw={40} animated aria-label={label} />}
    </Group>
  );
}
