/** Leased sessions: who controls one, the program or a person. */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas, Uuid } from './types';

type Control = Schemas['ControlView'];
type Wish = Schemas['ControlOrder'];

/** Take control over, keep it, or hand it back. */
export type OrderControl = (wish: Wish) => Promise<Control>;

const CONTROL = '/api/v1/leases/{lease_id}/control';

export function leaseQuery(leaseId: Uuid) {
  const params = { path: { lease_id: leaseId } };
  return queryOptions({
    queryKey: ['sessions', 'lease', leaseId],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/leases/{lease_id}', { signal, params })),
  });
}

/** Of a lease; null where the session is not leased. */
export function orderOf(leaseId: Uuid | null | undefined): OrderControl | null {
  if (!leaseId) return null;
  return (body) => dataOf(client.POST(CONTROL, { params: { path: { lease_id: leaseId } }, body }));
}

/** The same for who has the session's connect address. */
export function orderByToken(address: Schemas['ConnectBody']): OrderControl {
  return (wish) => dataOf(client.POST('/api/v1/connect/control', { body: { ...address, ...wish } }));
}
