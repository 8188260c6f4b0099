/** Stages of any size for tests. */

import type { StageAgent, StageManager, StageMap, StagePool, StageSession } from '../src/api/stageMap';

export function manager(id: string, facts: Partial<StageManager> = {}): StageManager {
  return {
    ...{ manager_id: id, instance_id: id, zone_id: 'z0', enabled: true, running: true, is_primary: false },
    ...facts,
  };
}

export function agent(id: string, facts: Partial<StageAgent> = {}): StageAgent {
  return {
    ...{ agent_id: id, hostname: `host-${id}`, zone_id: 'z0', status: 'running', status_reason: null },
    ...{
      enabled: true,
      draining: false,
      closed: null,
      cores: 32,
      cores_allocated: 1.6,
      memory: 64e9,
      memory_allocated: 4e9,
    },
    ...facts,
  };
}

export function pool(id: string, facts: Partial<StagePool> = {}): StagePool {
  return {
    ...{ staging_config_id: id, zone_id: 'z0', image_id: 'desktop', friendly_name: 'Desktop', current: 2, desired: 2 },
    ...{ paused: false, shortfall: null, refill_problem: null },
    ...facts,
  };
}

export function session(id: string, facts: Partial<StageSession> = {}): StageSession {
  return {
    ...{ session_id: id, zone_id: 'z0', agent_id: 'a0', image_id: 'desktop', image_friendly_name: 'Desktop' },
    ...{ staging_config_id: null, username: 'anna', status: 'running' },
    ...facts,
  };
}

/** The answer of the api; sessions are in the order of their creation. */
export function stage(parts: Partial<StageMap> = {}): StageMap {
  return {
    ...{ zones: [{ zone_id: 'z0', zone_name: 'default' }], managers: [], agents: [], pools: [] },
    has_more_sessions: false,
    ...parts,
    sessions: parts.sessions === null ? null : [...(parts.sessions ?? [])].reverse(),
  };
}

/** One zone with these numbers of Agents and sessions; every fifth session is staged. */
export function crowd(agents: number, sessions: number): StageMap {
  return stage({
    managers: [manager('m0', { is_primary: true }), manager('m1')],
    agents: Array.from({ length: agents }, (_, index) => agent(`a${index}`)),
    pools: [pool('p0')],
    sessions: Array.from({ length: sessions }, (_, index) =>
      session(`s${index}`, {
        agent_id: `a${index % agents}`,
        image_id: `image-${index % 7}`,
        ...(index % 5 === 0 ? { username: null, staging_config_id: 'p0' } : {}),
      }),
    ),
  });
}
