/** Descriptions of the events of webhooks and of the outcomes of their messages. */

import type { WebhookDelivery, WebhookEvent } from '../../../api/types';
import { counted, milliseconds } from '../../../components/format';

/** Each event of webhooks: when it is sent. */
export const EVENTS: Record<WebhookEvent, string> = {
  'session.assigned': 'A session was assigned to a user, from a pool or as a new session',
  'session.running': 'A session of a user became usable, for the first time or again',
  'session.failed': 'A session of a user or of a pool failed',
  'session.ended': 'A session of a user has ended',
  'pool.short': 'A pool has fewer sessions than desired, and the missing ones are not starting',
  'pool.full': 'A pool with a shortfall is full again',
  'launch.done': 'A launch provided a session',
  'launch.failed': 'A launch provided no session, or its session failed and could not be replaced',
  'lease.granted': 'A program got a lease',
  'lease.ended': 'A lease has ended: it was released, its deadline passed, or its session failed',
  'audit.event': 'The audit has a new event; this needs the permission audit_view',
};

/** Groups of the form. */
export const TOPICS: [title: string, topic: string][] = [
  ['Sessions', 'session.'],
  ['Pools', 'pool.'],
  ['Launches', 'launch.'],
  ['Leases', 'lease.'],
  ['Audit', 'audit.'],
];

export function eventsOf(topic: string): WebhookEvent[] {
  return (Object.keys(EVENTS) as WebhookEvent[]).filter((event) => event.startsWith(topic));
}

/** The names of the states. StatusBadge defines their colors. */
export const STATES: Record<WebhookDelivery['state'], string> = {
  waiting: 'waiting',
  delivered: 'delivered',
  given_up: 'given up',
};

type Outcome = Pick<WebhookDelivery, 'state' | 'attempts' | 'status' | 'error' | 'duration_ms'>;

/** The outcome of a message so far, as a sentence. `enabled`: whether its webhook is enabled. */
export function outcomeOf(delivery: Outcome, enabled: boolean): string {
  const { state, attempts, status, duration_ms } = delivery;
  if (state === 'delivered') {
    const after = duration_ms === null ? '' : ` after ${milliseconds(duration_ms)}`;
    return `The answer was ${status}${after}${attempts > 1 ? `, at attempt ${attempts}` : ''}.`;
  }
  if (state === 'given_up')
    return attempts === 0
      ? ended(delivery.error || 'The message was given up')
      : `Given up after ${counted(attempts, 'attempt')}: ${ended(reasonOf(delivery))}`;
  if (!enabled) return 'The message waits, because the webhook is disabled.';
  if (attempts === 0) return 'The message will be sent next.';
  return status === null && !delivery.error
    ? 'The message is being sent.'
    : `Attempt ${attempts} failed: ${ended(reasonOf(delivery))}`;
}

/** The reason why an attempt failed, as the end of a sentence. */
function reasonOf({ error, status }: Outcome): string {
  return error || (status === null ? 'there was no answer' : `the answer was ${status}`);
}

function ended(words: string): string {
  return /[.!?]$/.test(words) ? words : `${words}.`;
}
