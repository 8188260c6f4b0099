/** The charts of time series, and the permission that each needs. */

import { t } from '@lingui/core/macro';
import type { ChartSpec } from '../../../charts/shaping';

export interface NeededChart extends ChartSpec {
  needs: string;
}

export const LAUNCHES: NeededChart = {
  title: t`Launches`,
  note: t`Launches by the source of their session.`,
  needs: 'sessions_view',
  kind: 'bars',
  unit: 'number',
  isSum: true,
  lines: [
    { name: 'launches_staged', label: t`Staged`, color: 'staged' },
    { name: 'launches_on_demand', label: t`On demand`, color: 'chart-4' },
    { name: 'launches_failed', label: t`Failed`, color: 'failure' },
  ],
};

export const WAITS: NeededChart = {
  title: t`Waits`,
  note: t`Time from the request until the session could be used.`,
  needs: 'sessions_view',
  kind: 'lines',
  unit: 's',
  lines: [
    { name: 'wait_p50_s', label: t`Half of the launches`, color: 'chart-1' },
    { name: 'wait_p95_s', label: t`95 % of the launches`, color: 'chart-3' },
  ],
};

export const POOLS: NeededChart = {
  title: t`Pools`,
  note: t`Staged sessions that are ready, against those that are desired.`,
  needs: 'staging_view',
  kind: 'lines',
  unit: 'number',
  lines: [
    { name: 'pools_ready', label: t`Ready`, color: 'ready' },
    { name: 'pools_ready_low', label: t`Fewest ready`, color: 'warning' },
    { name: 'pools_starting', label: t`Starting`, color: 'neutral' },
    { name: 'pools_desired', label: t`Desired`, color: 'chart-2', isGoal: true },
  ],
};

const SESSIONS: NeededChart = {
  title: t`Sessions`,
  note: t`Sessions of users by state, and sessions without a user.`,
  needs: 'sessions_view',
  kind: 'areas',
  unit: 'number',
  lines: [
    { name: 'sessions_running', label: t`Running`, color: 'chart-1' },
    { name: 'sessions_starting', label: t`Starting`, color: 'chart-4' },
    { name: 'sessions_stopped', label: t`Stopped or paused`, color: 'neutral' },
    { name: 'sessions_failed', label: t`Failed`, color: 'failure' },
    { name: 'sessions_staged', label: t`Staged`, color: 'staged' },
  ],
};

const CORES: NeededChart = {
  title: t`Cores`,
  note: t`Cores that Agents offer, and the part that sessions reserve.`,
  needs: 'agents_view',
  kind: 'lines',
  unit: 'cores',
  lines: [
    { name: 'cores_reserved', label: t`Reserved`, color: 'chart-1' },
    { name: 'cores_free_low', label: t`Fewest free`, color: 'warning' },
    { name: 'cores_offered', label: t`Offered`, color: 'chart-2', isGoal: true },
  ],
};

const MEMORY: NeededChart = {
  title: t`Memory`,
  note: t`Memory that Agents offer, and the part that sessions reserve.`,
  needs: 'agents_view',
  kind: 'lines',
  unit: 'bytes',
  lines: [
    { name: 'memory_reserved_bytes', label: t`Reserved`, color: 'chart-1' },
    { name: 'memory_free_low_bytes', label: t`Least free`, color: 'warning' },
    { name: 'memory_offered_bytes', label: t`Offered`, color: 'chart-2', isGoal: true },
  ],
};

const FAILOVERS: NeededChart = {
  title: t`Failovers`,
  note: t`How often a zone got another Primary Manager.`,
  needs: 'managers_view',
  kind: 'bars',
  unit: 'number',
  isSum: true,
  lines: [{ name: 'failovers', label: t`Failovers`, color: 'chart-3' }],
};

/** The charts of the page Trends, in order. */
export const CHARTS: NeededChart[] = [LAUNCHES, WAITS, POOLS, SESSIONS, CORES, MEMORY, FAILOVERS];
