import { expect, test } from 'vitest';
import { lastReport, noteRates, noteRoundTrip, onFirstRoundTrip } from '../src/pages/session/pageReport';

const NOTHING = { round_trip_ms: null, frames_s: null, kbit_s: null };

test('a page reports the last values of its stream', () => {
  expect(lastReport(0)).toEqual(NOTHING);
  noteRoundTrip(12.5);
  noteRates({ frames_s: 24, kbit_s: 900 }, 1000);
  expect(lastReport(2000)).toEqual({ round_trip_ms: 12.5, frames_s: 24, kbit_s: 900 });
});

test('a page that is hidden reports no rates of its picture', () => {
  noteRates({ frames_s: 24, kbit_s: 900 }, 1000);
  expect(lastReport(60_000)).toMatchObject({ frames_s: null, kbit_s: null });
});

test('values that the server refuses are not reported', () => {
  noteRoundTrip(60_001);
  noteRates({ frames_s: -1, kbit_s: Infinity }, 1000);
  expect(lastReport(1000)).toEqual(NOTHING);
});

test('the first round trip of each stream is told once', () => {
  noteRoundTrip(null);
  const told: unknown[] = [];
  const forget = onFirstRoundTrip(() => told.push(lastReport(0).round_trip_ms));
  noteRoundTrip(12.5);
  noteRoundTrip(13);
  expect(told).toEqual([12.5]);
  noteRoundTrip(null);
  noteRoundTrip(14);
  expect(told).toEqual([12.5, 14]);
  forget();
  noteRoundTrip(null);
  noteRoundTrip(15);
  expect(told).toEqual([12.5, 14]);
});
