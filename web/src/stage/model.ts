/** The stage: zones with their Managers, Agents and pools, and the sessions in their places. */

import type { StageAgent, StageManager, StageMap, StagePool, StageSession, StageZone } from '../api/stageMap';

/** An Agent with the sessions of users. Its staged sessions are counted, and drawn at the stage door. */
export interface AgentPart {
  key: string;
  agent: StageAgent;
  sessions: StageSession[];
  staged: number;
}

/** A pool at the stage door; `pool` null = the user may not see it, or its config was deleted. */
export interface PoolPart {
  key: string;
  name: string;
  pool: StagePool | null;
  sessions: StageSession[];
}

export interface ManagerPart {
  key: string;
  manager: StageManager;
}

export interface ZonePart {
  zone: StageZone;
  managers: ManagerPart[];
  agents: AgentPart[];
  pools: PoolPart[];
  /** The key of the place of sessions without a shown Agent. */
  looseKey: string;
  loose: StageSession[];
  /** The Agents that are left out. */
  hidden: AgentPart[];
}

export function managerKey(managerId: string): string {
  return `manager:${managerId}`;
}

/** The Primary of a zone. */
export function primaryOf({ managers }: ZonePart): StageManager | undefined {
  return managers.find(({ manager }) => manager.is_primary)?.manager;
}

/** Whether an Agent gets no new sessions. */
export function isClosed({ closed }: StageAgent): boolean {
  return closed !== null;
}

/**
 * The zones in order, each with its parts. Sessions are in the order of their creation. With `mostAgents`, each zone has
 * at most this number of Agents, first those that get no new sessions.
 */
export function zonesOf(map: StageMap, mostAgents = Infinity): ZonePart[] {
  const zones = new Map(map.zones.map((zone) => [zone.zone_id, partOf(zone)]));
  for (const manager of map.managers ?? [])
    zones.get(manager.zone_id)?.managers.push({ key: managerKey(manager.manager_id), manager });
  const agents = new Map<string, AgentPart>();
  for (const agent of map.agents ?? []) {
    const part: AgentPart = { key: `agent:${agent.agent_id}`, agent, sessions: [], staged: 0 };
    agents.set(agent.agent_id, part);
    zones.get(agent.zone_id)?.agents.push(part);
  }
  const pools = new Map<string, PoolPart>();
  for (const pool of map.pools ?? []) {
    const part: PoolPart = { key: `pool:${pool.staging_config_id}`, name: pool.friendly_name, pool, sessions: [] };
    pools.set(part.key, part);
    zones.get(pool.zone_id)?.pools.push(part);
  }
  for (const session of [...(map.sessions ?? [])].reverse()) place(session, zones, agents, pools);
  for (const part of zones.values()) limit(part, mostAgents);
  return [...zones.values()];
}

function partOf(zone: StageZone): ZonePart {
  return { zone, managers: [], agents: [], pools: [], looseKey: `loose:${zone.zone_id}`, loose: [], hidden: [] };
}

function place(
  session: StageSession,
  zones: Map<string, ZonePart>,
  agents: Map<string, AgentPart>,
  pools: Map<string, PoolPart>,
): void {
  const zone = zones.get(session.zone_id);
  const agent = session.agent_id === null ? undefined : agents.get(session.agent_id);
  if (session.username !== null) {
    (agent?.sessions ?? zone?.loose)?.push(session);
    return;
  }
  if (agent) agent.staged += 1;
  const known = pools.get(`pool:${session.staging_config_id}`);
  const key = `workspace:${session.zone_id}:${session.image_id}`;
  let pool = known ?? pools.get(key);
  if (!pool) {
    pool = { key, name: session.image_friendly_name, pool: null, sessions: [] };
    pools.set(key, pool);
    zone?.pools.push(pool);
  }
  pool.sessions.push(session);
}

function limit(part: ZonePart, mostAgents: number): void {
  if (part.agents.length <= mostAgents) return;
  const [closed, open] = [true, false].map((is) => part.agents.filter(({ agent }) => isClosed(agent) === is));
  const sorted = [...(closed ?? []), ...(open ?? [])];
  part.agents = sorted.slice(0, mostAgents);
  part.hidden = sorted.slice(mostAgents);
}

/** The seats of each place, in order; null = the seat is free. */
export type Seats = ReadonlyMap<string, readonly (string | null)[]>;

/**
 * The seats after a change. A session keeps its seat, so that the others do not move when it ends. A new session gets the
 * first free seat of its place.
 */
export function seated(before: Seats, zones: ZonePart[]): Seats {
  const seats = new Map<string, (string | null)[]>();
  for (const [key, sessions] of placesOf(zones)) {
    const ids = new Set(sessions.map(({ session_id }) => session_id));
    const row = (before.get(key) ?? []).map((id) => (id !== null && ids.has(id) ? id : null));
    for (const id of row) if (id !== null) ids.delete(id);
    let next = 0;
    for (const id of ids) {
      while (next < row.length && row[next] !== null) next += 1;
      row[next] = id;
    }
    while (row.length > 0 && row.at(-1) === null) row.pop();
    seats.set(key, row);
  }
  return seats;
}

/** Each place with its sessions: Agents, pools, and the sessions of a zone without a shown Agent. */
export function* placesOf(zones: ZonePart[]): Generator<[string, StageSession[]]> {
  for (const { agents, pools, looseKey, loose } of zones) {
    for (const { key, sessions } of [...agents, ...pools]) yield [key, sessions];
    yield [looseKey, loose];
  }
}
