/** What a webhook is sent, and what came of each message, in words. */

import type { WebhookDelivery, WebhookEvent } from '../../../api/types';
import { counted, milliseconds } from '../../../components/format';

/** Each event that a webhook may be sent: when. */
export const EVENTS: Record<WebhookEvent, string> = {
  'session.assigned': 'A session is a user’s now: from a pool, or made for them',
  'session.running': 'A user’s session can be used, for the first time or again',
  'session.failed': 'A session failed; one of a pool has no user',
  'session.ended': 'A session that was a user’s is gone',
  'pool.short': 'A pool has fewer sessions than Desired, and not just because some are starting',
  'pool.full': 'A pool that was short is full again',
  'launch.done': 'A launch gave its user a session',
  'launch.failed': 'A launch gave nothing, or what it gave failed and nothing could replace it',
  'lease.granted': 'A program was given a lease',
  'lease.ended': 'A lease is over: released, past its deadline, or its session failed',
};

/** Groups of the form. */
export const TOPICS: [title: string, topic: string][] = [
  ['Sessions', 'session.'],
  ['Pools', 'pool.'],
  ['Launches', 'launch.'],
  ['Leases', 'lease.'],
];

export function eventsOf(topic: string): WebhookEvent[] {
  return (Object.keys(EVENTS) as WebhookEvent[]).filter((event) => event.startsWith(topic));
}

/** States as the page calls them; the words have looks in StatusBadge. */
export const STATES: Record<WebhookDelivery['state'], string> = {
  waiting: 'waiting',
  delivered: 'delivered',
  given_up: 'given up',
};

type Outcome = Pick<WebhookDelivery, 'state' | 'attempts' | 'status' | 'error' | 'duration_ms'>;

/** What came of a message so far, as a sentence. `enabled`: whether its webhook is. */
export function outcomeOf(delivery: Outcome, enabled: boolean): string {
  const { state, attempts, status, duration_ms } = delivery;
  if (state === 'delivered') {
    const after = duration_ms === null ? '' : ` after ${milliseconds(duration_ms)}`;
    return `The answer was ${status}${after}${attempts > 1 ? `, at attempt ${attempts}` : ''}.`;
  }
  if (state === 'given_up')
    return attempts === 0
      ? ended(delivery.error || 'It was given up')
      : `Given up after ${counted(attempts, 'attempt')}: ${ended(reasonOf(delivery))}`;
  if (!enabled) return 'It waits, because the webhook is disabled.';
  if (attempts === 0) return 'It is about to be sent.';
  return status === null && !delivery.error
    ? 'It is being sent.'
    : `Attempt ${attempts} failed: ${ended(reasonOf(delivery))}`;
}

/** Why an attempt failed, as the end of a sentence. */
function reasonOf({ error, status }: Outcome): string {
  return error || (status === null ? 'there was no answer' : `the answer was ${status}`);
}

function ended(words: string): string {
  return /[.!?]$/.test(words) ? words : `${words}.`;
}
