/** The charts of time series, and the permission that each needs. */

import type { ChartSpec } from '../../../charts/shaping';

export interface NeededChart extends ChartSpec {
  needs: string;
}

export const LAUNCHES: NeededChart = {
  title: 'Launches',
  note: 'Launches by the source of their session.',
  needs: 'sessions_view',
  kind: 'bars',
  unit: 'number',
  isSum: true,
  lines: [
    { name: 'launches_staged', label: 'Staged', color: 'staged' },
    { name: 'launches_on_demand', label: 'On demand', color: 'chart-4' },
    { name: 'launches_failed', label: 'Failed', color: 'failure' },
  ],
};

export const WAITS: NeededChart = {
  title: 'Waits',
  note: 'Time from the request until the session could be used.',
  needs: 'sessions_view',
  kind: 'lines',
  unit: 's',
  lines: [
    { name: 'wait_p50_s', label: 'Half of the launches', color: 'chart-1' },
    { name: 'wait_p95_s', label: '95 % of the launches', color: 'chart-3' },
  ],
};

export const POOLS: NeededChart = {
  title: 'Pools',
  note: 'Staged sessions that are ready, against those that are desired.',
  needs: 'staging_view',
  kind: 'lines',
  unit: 'number',
  lines: [
    { name: 'pools_ready', label: 'Ready', color: 'ready' },
    { name: 'pools_ready_low', label: 'Fewest ready', color: 'warning' },
    { name: 'pools_starting', label: 'Starting', color: 'neutral' },
    { name: 'pools_desired', label: 'Desired', color: 'chart-2', isGoal: true },
  ],
};

const SESSIONS: NeededChart = {
  title: 'Sessions',
  note: 'Sessions of users by state, and sessions without a user.',
  needs: 'sessions_view',
  kind: 'areas',
  unit: 'number',
  lines: [
    { name: 'sessions_running', label: 'Running', color: 'chart-1' },
    { name: 'sessions_starting', label: 'Starting', color: 'chart-4' },
    { name: 'sessions_stopped', label: 'Stopped or paused', color: 'neutral' },
    { name: 'sessions_failed', label: 'Failed', color: 'failure' },
    { name: 'sessions_staged', label: 'Staged', color: 'staged' },
  ],
};

const CORES: NeededChart = {
  title: 'Cores',
  note: 'Cores that Agents offer, and the part that sessions reserve.',
  needs: 'agents_view',
  kind: 'lines',
  unit: 'cores',
  lines: [
    { name: 'cores_reserved', label: 'Reserved', color: 'chart-1' },
    { name: 'cores_free_low', label: 'Fewest free', color: 'warning' },
    { name: 'cores_offered', label: 'Offered', color: 'chart-2', isGoal: true },
  ],
};

const MEMORY: NeededChart = {
  title: 'Memory',
  note: 'Memory that Agents offer, and the part that sessions reserve.',
  needs: 'agents_view',
  kind: 'lines',
  unit: 'bytes',
  lines: [
    { name: 'memory_reserved_bytes', label: 'Reserved', color: 'chart-1' },
    { name: 'memory_free_low_bytes', label: 'Least free', color: 'warning' },
    { name: 'memory_offered_bytes', label: 'Offered', color: 'chart-2', isGoal: true },
  ],
};

const FAILOVERS: NeededChart = {
  title: 'Failovers',
  note: 'How often a zone got another Primary Manager.',
  needs: 'managers_view',
  kind: 'bars',
  unit: 'number',
  isSum: true,
  lines: [{ name: 'failovers', label: 'Failovers', color: 'chart-3' }],
};

/** The charts of the page Trends, in order. */
export const CHARTS: NeededChart[] = [LAUNCHES, WAITS, POOLS, SESSIONS, CORES, MEMORY, FAILOVERS];
