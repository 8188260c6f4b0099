/** The round-trip times from this browser to the gateways of the zones, for launches in the nearest zone. */

import type { Schemas, Uuid } from './types';

export type RoundTrips = Record<Uuid, number>;

type Nearest = Schemas['NearestView'];
type Target = Schemas['RoundTripTargetView'];

const TRIPS = 4;
const LONGEST_MS = 3000;

/** Zone → shortest round trip in ms, for zones that answer. Measured one after the other, so that no request delays another. */
export async function measureRoundTrips(targets: Target[], signal: AbortSignal): Promise<RoundTrips> {
  const found: RoundTrips = {};
  for (const { zone_id, addresses } of targets) {
    for (const address of addresses) {
      const ms = await roundTrip(address, AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]));
      if (ms !== null) found[zone_id] = Math.min(ms, found[zone_id] ?? Infinity);
    }
  }
  return found;
}

/** The shortest round trip to an address. The first one opens the connection and is not counted. */
async function roundTrip(address: string, signal: AbortSignal): Promise<number | null> {
  let shortest: number | null = null;
  try {
    for (let trip = 0; trip < TRIPS; trip += 1) {
      const begin = performance.now();
      const answer = await fetch(`${address}/round_trip`, { cache: 'no-store', credentials: 'omit', signal });
      if (!answer.ok) return null;
      if (trip > 0) shortest = Math.min(performance.now() - begin, shortest ?? Infinity);
    }
  } catch {
    // A zone that this browser cannot reach in time is not suggested for launches.
  }
  return shortest;
}

export interface Nearer {
  zone: Target;
  ms: number;
  current: Target;
  currentMs: number;
}

/** The zone that is nearer than the current one. */
export function nearerZone({ targets, nearer_by_ms: by }: Nearest, measured: RoundTrips): Nearer | null {
  const current = targets.find((target) => target.current);
  const currentMs = current && measured[current.zone_id];
  if (!current || currentMs === undefined) return null;
  let nearest: Nearer | null = null;
  for (const zone of targets) {
    const ms = measured[zone.zone_id];
    if (zone !== current && ms !== undefined && ms <= currentMs - by && (!nearest || ms < nearest.ms))
      nearest = { zone, ms, current, currentMs };
  }
  return nearest;
}
