import { afterEach, describe, expect, it, vi } from 'vitest';
import { measureRoundTrips, nearerZone } from '../src/api/roundTrips';

const HERE = { zone_id: 'here', zone_name: 'here', current: true, addresses: [''] };
const FAR = { zone_id: 'far', zone_name: 'far', current: false, addresses: ['https://far'] };
const NEAR = { zone_id: 'near', zone_name: 'near', current: false, addresses: ['https://gone', 'https://near'] };
const NEAREST = { mode: 'suggest' as const, nearer_by_ms: 5, targets: [HERE, FAR, NEAR] };

afterEach(() => vi.unstubAllGlobals());

describe('nearerZone', () => {
  it('is the nearest of those nearer than the current one by more than a measurement differs', () => {
    expect(nearerZone(NEAREST, { here: 40, far: 30, near: 20 })?.zone).toBe(NEAR);
    expect(nearerZone(NEAREST, { here: 40, near: 36 })).toBeNull();
  });
  it('is none where the current one was not measured', () => {
    expect(nearerZone(NEAREST, { near: 1 })).toBeNull();
  });
});

describe('measureRoundTrips', () => {
  it('leaves out zones that do not answer, and the time a connection takes to open', async () => {
    let now = 0;
    const opened = new Set<string>();
    vi.stubGlobal('performance', { now: () => now });
    vi.stubGlobal('fetch', (url: string) => {
      if (url.startsWith('https://gone')) return Promise.reject(new TypeError('no way'));
      if (url.startsWith('https://far')) return Promise.resolve({ ok: false });
      now += opened.has(url) ? 12 : 100;
      opened.add(url);
      return Promise.resolve({ ok: true });
    });
    const measured = await measureRoundTrips([HERE, FAR, NEAR], new AbortController().signal);
    expect(measured).toEqual({ here: 12, near: 12 });
  });
});
