import { t } from '@lingui/core/macro';
import { Progress } from '@mantine/core';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import type { StagingConfig } from '../../../api/types';
import { StatusBadge } from '../../../components/StatusBadge';
import { WhyButton } from '../../../why/WhyButton';
import styles from './PoolState.module.css';

/** A bar with Current and Desired, and the reason why they differ or will soon differ. In a row of a table, all of it has one line. */
export function PoolState({ config }: { config: StagingConfig }) {
  const { num_sessions: desired, num_current_sessions: current, num_starting_sessions: starting } = config;
  const problem = config.shortfall ?? config.refill_problem;
  const share = (count: number) => (desired > 0 ? Math.min(100, (count / desired) * 100) : 0);
  return (
    <div className={styles.pool} data-paused={config.paused || undefined}>
      <Progress.Root size="lg" className={styles.bar} transitionDuration={300}>
        <Progress.Section value={share(current)} color="staged" aria-label={t`${current} of ${desired} ready`} />
        <Progress.Section
          value={Math.min(share(starting), 100 - share(current))}
          color="staged"
          striped
          animated
          aria-label={t`${starting} starting`}
        />
      </Progress.Root>
      <span className="nowrap number" data-testid="current">
        {current} / {desired}
      </span>
      {config.paused && <StatusBadge status="paused" />}
      <WhyButton
        subject={{ kind: 'pool', id: config.staging_config_id }}
        about={t`pool ${{ workspace: config.image_friendly_name }} in zone ${{ zone: config.zone_name }}`}
      />
      {problem && <Shortfall {...problem} />}
    </div>
  );
}

function Shortfall({ code, reason, needs_action }: NonNullable<StagingConfig['shortfall']>) {
  const Icon = needs_action ? IconAlertTriangle : IconInfoCircle;
  return (
    <div className={styles.reason} data-failed={needs_action || undefined} data-testid="shortfall" data-code={code}>
      <Icon size={15} aria-hidden className="rigid" />
      <span className={styles.sentence} data-whole>
        {reason}
      </span>
    </div>
  );
}
