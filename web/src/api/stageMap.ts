/** The query of the stage map (`/api/v1/stage-map`). */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas } from './types';

export type StageMap = Schemas['StageMapView'];
export type StageZone = Schemas['StageZoneView'];
export type StageManager = Schemas['StageManagerView'];
export type StageAgent = Schemas['StageAgentView'];
export type StagePool = Schemas['StagePoolView'];
export type StageSession = Schemas['StageSessionView'];

/** Zones, Managers, Agents, pools and sessions, as far as the user may see them. */
export const stageMapQuery = queryOptions({
  queryKey: ['stage-map'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/stage-map', { signal })),
  refetchInterval: 10_000,
  structuralSharing: false, // it would compare every field of thousands of sessions at each change of one
});
