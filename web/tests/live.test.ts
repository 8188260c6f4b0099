import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { client } from '../src/api/client';
import { followEvents } from '../src/api/live';
import { knownTime, silentSeconds } from '../src/components/clock';

/** The browser's end of the stream, which the test plays. */
class Stream {
  static opened: Stream[] = [];
  static newest: Stream;
  onopen: () => void = vi.fn();
  onerror: () => void = vi.fn();
  onmessage: (event: { data: string }) => void = vi.fn();
  isClosed = false;
  private readonly listeners = new Map<string, () => void>();

  constructor(readonly address: string) {
    Stream.opened.push(this);
    Stream.newest = this;
  }
  addEventListener(name: string, listener: () => void) {
    this.listeners.set(name, listener);
  }
  close() {
    this.isClosed = true;
  }
  send(topic: string) {
    this.onmessage({ data: JSON.stringify({ topic, id: 'x' }) });
  }
  resync() {
    this.listeners.get('resync')?.();
  }
  live() {
    this.listeners.get('alive')?.();
  }
}

/** Events that come this close together are one refresh; somewhat more than that. */
const GATHERED_MS = 100;
const KEYS = ['zones', 'managers', 'agents', 'users', 'launches', 'logs'];
let queries: QueryClient;
let stop: () => void;

/** The queries that were marked as out of date since the last look. */
function stale(): string[] {
  const found = KEYS.filter((key) => queries.getQueryState([key])?.isInvalidated);
  for (const key of KEYS) queries.setQueryData([key], {});
  return found;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('EventSource', Stream);
  Stream.opened = [];
  queries = new QueryClient();
  stale();
  stop = followEvents(queries);
  Stream.newest.onopen();
});

afterEach(() => {
  stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('events', () => {
  test('mark what they are about, once for all that come together', () => {
    const invalidate = vi.spyOn(queries, 'invalidateQueries');
    Stream.newest.send('managers');
    Stream.newest.send('logs');
    expect(stale()).toEqual([]);
    vi.advanceTimersByTime(GATHERED_MS);
    expect(stale()).toEqual(['zones', 'managers', 'launches', 'logs']);
    expect(invalidate).toHaveBeenCalledTimes(1);
  });

  test('request a first answer again that was on its way, because it may be older than the event', async () => {
    const answer: ((value: string) => void)[] = [];
    const queryFn = () => new Promise<string>((resolve) => answer.push(resolve));
    const leave = new QueryObserver(queries, { queryKey: ['logs', 'first'], queryFn }).subscribe(() => undefined);
    Stream.newest.send('logs');
    await vi.advanceTimersByTimeAsync(GATHERED_MS);
    expect(answer).toHaveLength(1);
    answer[0]?.('old');
    await vi.advanceTimersByTimeAsync(0);
    answer[1]?.('new');
    await vi.advanceTimersByTimeAsync(0);
    expect(answer).toHaveLength(2);
    expect(queries.getQueryData(['logs', 'first'])).toBe('new');
    leave();
  });

  test.each([
    ['stage-map', 'session'],
    ['today', 'logs'],
  ])('mark the large answer %s once in a second, and at once if the Primary changed', (key, topic) => {
    const isStale = () => {
      const found = queries.getQueryState([key])?.isInvalidated;
      queries.setQueryData([key], {});
      return found;
    };
    isStale();
    Stream.newest.send(topic);
    vi.advanceTimersByTime(GATHERED_MS);
    expect(isStale()).toBe(true);
    Stream.newest.send(topic);
    vi.advanceTimersByTime(GATHERED_MS);
    expect(isStale()).toBe(false);
    vi.advanceTimersByTime(1000);
    expect(isStale()).toBe(true);
    Stream.newest.send('primary');
    vi.advanceTimersByTime(GATHERED_MS);
    expect(isStale()).toBe(true);
  });

  test('of a newer server, with unknown topics, do no harm', () => {
    Stream.newest.send('weather');
    vi.advanceTimersByTime(GATHERED_MS);
    expect(stale()).toEqual([]);
  });

  test('that the server could not keep mean everything', () => {
    Stream.newest.resync();
    expect(stale()).toEqual(KEYS);
  });
});

describe('a stream that is lost', () => {
  test('is opened again, and then everything is read again', () => {
    const first = Stream.newest;
    first.onerror();
    expect(first.isClosed).toBe(true);
    vi.advanceTimersByTime(200);
    expect(Stream.opened).toHaveLength(2);
    expect(stale()).toEqual([]);
    Stream.newest.onopen();
    expect(stale()).toEqual(KEYS);
  });

  test('is tried again more slowly while there is no answer', () => {
    Stream.newest.onerror();
    vi.advanceTimersByTime(200);
    Stream.newest.onerror();
    vi.advanceTimersByTime(999);
    expect(Stream.opened).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(Stream.opened).toHaveLength(3);
  });

  test('because the network went away is given up at once', () => {
    window.dispatchEvent(new Event('offline'));
    expect(Stream.newest.isClosed).toBe(true);
  });
});

describe('a server that is silent', () => {
  /** The seconds without an answer that the page shows, and whether its relative times go on. */
  const shown = () => [silentSeconds(Date.now()), knownTime(Date.now()) === Date.now()];

  test('is shown after 5 seconds, in which relative times stop, until its next sign of life', () => {
    vi.advanceTimersByTime(4000);
    expect(shown()).toEqual([0, true]);
    vi.advanceTimersByTime(3000);
    expect(shown()).toEqual([7, false]);
    Stream.newest.onopen();
    vi.advanceTimersByTime(500);
    expect(shown()).toEqual([0, true]);
    for (let second = 0; second < 20; second += 2) {
      vi.advanceTimersByTime(2000);
      Stream.newest.live();
      expect(shown()).toEqual([0, true]);
    }
    expect(stale()).toEqual(KEYS); // once, after the reconnect
  });

  test('gets another stream every few seconds, because this one may be lost', () => {
    const first = Stream.newest;
    vi.advanceTimersByTime(5000);
    expect([first.isClosed, Stream.opened.length]).toEqual([true, 1]);
    vi.advanceTimersByTime(7000);
    expect(Stream.opened.length).toBe(3);
    expect(Stream.newest.address).toBe('/api/v1/events?alive_s=2');
  });

  test('is not silent while it answers requests, unlike a gateway without a server', async () => {
    const answer = async (status: number) => {
      const fetch = () => Promise.resolve(new Response('{}', { status }));
      await client.GET('/api/v1/branding', { fetch });
    };
    for (let second = 0; second < 10; second++) {
      await vi.advanceTimersByTimeAsync(1000);
      await answer(503);
    }
    expect(shown()).toEqual([0, true]);
    for (let second = 0; second < 10; second++) {
      await vi.advanceTimersByTimeAsync(1000);
      await answer(504);
    }
    expect(shown()).toEqual([10, false]);
  });

  test('is not blamed for a page that stood still itself', () => {
    const clock = performance.now();
    vi.spyOn(performance, 'now').mockReturnValue(clock + 60_000);
    vi.advanceTimersByTime(500);
    expect(shown()).toEqual([0, true]);
  });
});

test('a page that is left receives nothing more', () => {
  Stream.newest.send('users');
  stop();
  vi.advanceTimersByTime(GATHERED_MS);
  window.dispatchEvent(new Event('offline'));
  vi.advanceTimersByTime(GATHERED_MS);
  expect(stale()).toEqual([]);
  expect([Stream.newest.isClosed, Stream.opened.length]).toEqual([true, 1]);
});
