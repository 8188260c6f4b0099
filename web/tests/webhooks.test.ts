import { describe, expect, test } from 'vitest';
import { EVENTS, eventsOf, outcomeOf, TOPICS } from '../src/pages/admin/webhooks/outcomes';

const SENT = { state: 'delivered', attempts: 1, status: 204, error: '', duration_ms: 12.34 } as const;

describe('what came of a message', () => {
  test('that was delivered is the answer, and at which attempt', () => {
    expect(outcomeOf(SENT, true)).toBe('The answer was 204 after 12.3 ms.');
    expect(outcomeOf({ ...SENT, attempts: 3 }, true)).toBe('The answer was 204 after 12.3 ms, at attempt 3.');
  });

  test('that waits is why', () => {
    const waiting = { ...SENT, state: 'waiting', status: null, duration_ms: null } as const;
    expect(outcomeOf({ ...waiting, attempts: 0 }, true)).toBe('The message will be sent next.');
    expect(outcomeOf({ ...waiting, attempts: 0 }, false)).toBe('The message waits, because the webhook is disabled.');
    expect(outcomeOf(waiting, true)).toBe('The message is being sent.');
    expect(outcomeOf({ ...waiting, attempts: 2, status: 500 }, true)).toBe('Attempt 2 failed: the answer was 500.');
    const error = 'ci.example.org has no address.';
    expect(outcomeOf({ ...waiting, error }, true)).toBe('Attempt 1 failed: ci.example.org has no address.');
  });

  test('that was given up is after how many attempts and why', () => {
    const over = { ...SENT, state: 'given_up' } as const;
    expect(outcomeOf({ ...over, status: 410 }, true)).toBe('Given up after 1 attempt: the answer was 410.');
    expect(outcomeOf({ ...over, attempts: 16, status: null }, false)).toBe(
      'Given up after 16 attempts: there was no answer.',
    );
    const error = 'More than 5000 newer messages waited for this webhook.';
    expect(outcomeOf({ ...over, attempts: 0, error }, true)).toBe(error);
  });
});

test('each event is in one group of the form', () => {
  expect(TOPICS.flatMap(([, topic]) => eventsOf(topic))).toEqual(Object.keys(EVENTS));
});
