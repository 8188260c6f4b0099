import { t } from '@lingui/core/macro';
import { Group, Progress, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import type { StagingConfig } from '../../../api/types';
import { Cut } from '../../../components/Cut';
import { StatusBadge } from '../../../components/StatusBadge';
import { textIn } from '../../../components/tones';
import { WhyButton } from '../../../why/WhyButton';

/** A bar with Current and Desired, and the reason why they differ. */
export function PoolState({ config }: { config: StagingConfig }) {
  const { num_sessions: desired, num_current_sessions: current, num_starting_sessions: starting, shortfall } = config;
  const share = (count: number) => (desired > 0 ? Math.min(100, (count / desired) * 100) : 0);
  return (
    <Stack gap={2} miw={200}>
      <Group gap="sm" wrap="nowrap">
        <Progress.Root size="lg" className="grows" transitionDuration={300}>
          <Progress.Section value={share(current)} color="staged" aria-label={t`${current} of ${desired} ready`} />
          <Progress.Section
            value={Math.min(share(starting), 100 - share(current))}
            color="staged"
            striped
            animated
            aria-label={t`${starting} starting`}
          />
        </Progress.Root>
        <Text size="sm" className="nowrap number" data-testid="current">
          {current} / {desired}
        </Text>
        {config.paused && <StatusBadge status="paused" />}
        <WhyButton
          subject={{ kind: 'pool', id: config.staging_config_id }}
          about={t`pool ${{ workspace: config.image_friendly_name }} in zone ${{ zone: config.zone_name }}`}
        />
      </Group>
      {shortfall && <Shortfall {...shortfall} />}
    </Stack>
  );
}

function Shortfall({ code, reason, needs_action }: NonNullable<StagingConfig['shortfall']>) {
  const Icon = needs_action ? IconAlertTriangle : IconInfoCircle;
  const color = needs_action ? textIn('failure') : 'var(--mantine-color-dimmed)';
  return (
    <Group gap={6} wrap="nowrap" align="flex-start" c={color} data-testid="shortfall" data-code={code}>
      <Icon size={15} aria-hidden className="rigid" />
      <Text component="div" size="xs" miw={0}>
        <Cut>{reason}</Cut>
      </Text>
    </Group>
  );
}
