/** The control of leased sessions, which a program or a user has. */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas, Uuid } from './types';

type Control = Schemas['ControlView'];
type Wish = Schemas['ControlOrder'];

/** Takes control, renews it or hands it back. */
export type OrderControl = (wish: Wish) => Promise<Control>;

/** The program that has leased a session. */
export interface Program {
  order: OrderControl;
  /** The extent of the recording. */
  record: Recorded;
}

type Recorded = Schemas['ConnectionView']['record'];
type Leased = Pick<Schemas['ConnectionView'], 'lease_id' | 'record'>;

const CONTROL = '/api/v1/leases/{lease_id}/control';

export function leaseQuery(leaseId: Uuid) {
  const params = { path: { lease_id: leaseId } };
  return queryOptions({
    queryKey: ['sessions', 'lease', leaseId],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/leases/{lease_id}', { signal, params })),
  });
}

/** The program of a session; null if the session is not leased. */
export function programOf(session: Leased | undefined): Program | null {
  if (!session?.lease_id) return null;
  const params = { path: { lease_id: session.lease_id } };
  return { order: (body) => dataOf(client.POST(CONTROL, { params, body })), record: session.record };
}

/** The program of a session that was opened with its connect address. */
export function programByToken(session: Leased | undefined, address: Schemas['ConnectBody']): Program | null {
  if (!session?.lease_id) return null;
  const order: OrderControl = (wish) =>
    dataOf(client.POST('/api/v1/connect/control', { body: { ...address, ...wish } }));
  return { order, record: session.record };
}
