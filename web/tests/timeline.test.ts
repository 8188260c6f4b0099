import { describe, expect, it } from 'vitest';
import type { VideoSegment } from '../src/api/sessionVideos';
import { clockAt, gapsOf, placeAt, stateOf, timelineOf } from '../src/pages/recording/timeline';

function segment(number: number, began: string, duration_ms: number, is_lost = false): VideoSegment {
  return { number, began: `2026-03-02T${began}Z`, duration_ms, size_bytes: 1, is_lost };
}

const places = timelineOf([
  segment(1, '09:00:00', 30_000),
  segment(2, '09:00:30', 30_000),
  segment(3, '09:10:00', 10_500),
]);

describe('the timeline of a session video', () => {
  it('has its segments one after the other, without the gaps', () => {
    expect(places.map(({ number, startS, endS }) => [number, startS, endS])).toEqual([
      [1, 0, 30],
      [2, 30, 60],
      [3, 60, 70.5],
    ]);
  });

  it('finds the segment at a position, and the last one after the end', () => {
    expect([0, 29.9, 30, 65, 70.5, 1000].map((positionS) => placeAt(places, positionS))).toEqual([0, 0, 1, 2, 2, 2]);
  });

  it('shows the time of the recording, also after a gap and after the end', () => {
    const clock = (positionS: number) => new Date(clockAt(places, positionS)).toISOString().slice(11, 19);
    expect([0, 45, 60, 70, 1000].map(clock)).toEqual(['09:00:00', '09:00:45', '09:10:00', '09:10:10', '09:10:10']);
  });

  it('counts pauses of 2 s or more as gaps', () => {
    expect(gapsOf(places)).toBe(1);
    const close = [segment(1, '09:00:00', 30_000), segment(2, '09:00:31', 30_000), segment(3, '09:01:03', 30_000)];
    expect(gapsOf(timelineOf(close))).toBe(1);
  });

  it('skips lost segments, which are gaps', () => {
    const all = [segment(1, '09:00:00', 30_000), segment(2, '09:00:30', 30_000, true), segment(3, '09:01:00', 30_000)];
    expect(timelineOf(all).map(({ number, startS }) => [number, startS])).toEqual([
      [1, 0],
      [3, 30],
    ]);
    expect(gapsOf(timelineOf(all))).toBe(1);
  });

  it('has no time without segments', () => {
    expect(clockAt([], 0)).toBeNaN();
    expect(gapsOf([])).toBe(0);
  });
});

describe('the state of a session video', () => {
  it('names a missing recording before all else', () => {
    const video = { is_stored: true, is_over: true, ended: '2026-03-02T09:00:00Z', lost_ms: 30_000 };
    expect(stateOf({ ...video, is_stored: false })).toBe('not stored');
    expect(stateOf({ ...video, is_over: false, ended: null })).toBe('recording');
    expect(stateOf({ ...video, ended: null })).toBe('without its end');
    expect(stateOf(video)).toBe('incomplete');
    expect(stateOf({ ...video, lost_ms: 0 })).toBe('complete');
  });
});
