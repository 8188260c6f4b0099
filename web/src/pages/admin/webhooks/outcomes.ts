/** Descriptions of the events of webhooks and of the outcomes of their messages. */

import { plural, t } from '@lingui/core/macro';
import type { WebhookDelivery, WebhookEvent } from '../../../api/types';
import { milliseconds } from '../../../components/format';

/** Each event of webhooks: when it is sent. */
export const EVENTS: Record<WebhookEvent, string> = {
  'session.assigned': t`A session was assigned to a user, from a pool or as a new session`,
  'session.running': t`A session of a user became usable, for the first time or again`,
  'session.failed': t`A session of a user or of a pool failed`,
  'session.ended': t`A session of a user has ended`,
  'pool.short': t`A pool has fewer sessions than desired, and the missing ones are not starting`,
  'pool.full': t`A pool with a shortfall is full again`,
  'launch.done': t`A launch provided a session`,
  'launch.failed': t`A launch provided no session, or its session failed and could not be replaced`,
  'lease.granted': t`A program got a lease`,
  'lease.ended': t`A lease has ended: it was released, its deadline passed, or its session failed`,
  'audit.event': t`The audit has a new event; this needs the permission audit_view`,
};

/** The titles of the events. */
const EVENT_TITLES: Record<WebhookEvent, string> = {
  'session.assigned': t`Session assigned`,
  'session.running': t`Session usable`,
  'session.failed': t`Session failed`,
  'session.ended': t`Session ended`,
  'pool.short': t`Pool short`,
  'pool.full': t`Pool full again`,
  'launch.done': t`Launch done`,
  'launch.failed': t`Launch failed`,
  'lease.granted': t`Lease granted`,
  'lease.ended': t`Lease ended`,
  'audit.event': t`Event of the audit`,
};

/** The title of an event. Other names, such as that of a test message, stay as they are. */
export function eventTitle(event: string): string {
  return (EVENT_TITLES as Record<string, string>)[event] ?? event;
}

/** Groups of the form. */
export const TOPICS: [title: string, topic: string][] = [
  [t`Sessions`, 'session.'],
  [t`Pools`, 'pool.'],
  [t`Launches`, 'launch.'],
  [t`Leases`, 'lease.'],
  [t`Audit`, 'audit.'],
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
  const { state, attempts, duration_ms } = delivery;
  const status = String(delivery.status);
  if (state === 'delivered') {
    if (duration_ms === null)
      return attempts > 1 ? t`The answer was ${status}, at attempt ${attempts}.` : t`The answer was ${status}.`;
    const duration = milliseconds(duration_ms);
    return attempts > 1
      ? t`The answer was ${status} after ${duration}, at attempt ${attempts}.`
      : t`The answer was ${status} after ${duration}.`;
  }
  const reason = reasonOf(delivery);
  if (state === 'given_up') {
    if (attempts === 0) return delivery.error ? reason : t`The message was given up.`;
    return t`Given up after ${plural(attempts, { one: '# attempt', other: '# attempts' })}: ${reason}`;
  }
  if (!enabled) return t`The message waits, because the webhook is disabled.`;
  if (attempts === 0) return t`The message will be sent next.`;
  return delivery.status === null && !delivery.error
    ? t`The message is being sent.`
    : t`Attempt ${attempts} failed: ${reason}`;
}

/** The reason why an attempt failed, as the end of a sentence. */
function reasonOf({ error, status }: Outcome): string {
  if (error) return ended(error);
  return status === null ? t`there was no answer.` : t`the answer was ${status}.`;
}

function ended(words: string): string {
  return /[.!?]$/.test(words) ? words : `${words}.`;
}
