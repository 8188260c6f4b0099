import { describe, expect, test } from 'vitest';
import { amountIn, bestUnit, fromUnit, inUnit, unitsOf } from '../src/components/units';

const named = (base: string, name: string) => {
  const unit = unitsOf(base).find((each) => each.name === name);
  if (!unit) throw new Error(`no ${name}`);
  return unit;
};

test.each([
  [43_200, 's', '12 hours'],
  [5_400, 's', '90 minutes'],
  [86_400, 's', '1 day'],
  [90, 's', '90 seconds'],
  [0, 's', '0 seconds'],
  [20, 'min', '20 minutes'],
  [0.5, 'min', '0.5 minutes'],
  [365, 'days', '365 days'],
  [5_000, 'MB', '5 GB'],
  [2_768, 'MB', '2.768 GB'],
  [2_768_000_000, 'B', '2.768 GB'],
  [2 ** 33, 'B', '8.59 GB'],
  [1, 'attempts', '1 attempt'],
  [50, '%', '50 %'],
])('%d %s read as %s', (value, unit, text) => expect(amountIn(value, unit)).toBe(text));

describe('the field of a duration', () => {
  test('has the largest unit in which the time is whole', () => {
    expect([3_600, 90, 172_800].map((value) => bestUnit(value, 's').name)).toEqual(['hours', 'seconds', 'days']);
  });

  test('has hours while it is empty or 0', () => {
    expect(['', 0, null].map((value) => bestUnit(value, 's').name)).toEqual(['hours', 'hours', 'hours']);
  });

  test('turns 1.5 hours into seconds and back', () => {
    const hours = named('s', 'hours');
    expect(fromUnit(1.5, hours, 's')).toBe(5_400);
    expect(inUnit(5_400, hours)).toBe(1.5);
  });

  test('has no errors of binary fractions', () => {
    expect(fromUnit(0.1, named('min', 'hours'), 'min')).toBe(6);
    expect(inUnit(4_320, named('s', 'hours'))).toBe(1.2);
  });
});

describe('the field of a size', () => {
  test('has the largest unit with few decimals, also for sizes of computers', () => {
    expect([512_000_000, 2_768_000_000, 2 ** 30].map((value) => bestUnit(value, 'B').name)).toEqual(['MB', 'GB', 'GB']);
  });

  test('sends whole bytes', () => {
    expect(fromUnit(2.768, named('B', 'GB'), 'B')).toBe(2_768_000_000);
    expect(fromUnit(0.0000000001, named('B', 'GB'), 'B')).toBe(0);
  });
});

test('other units are fixed', () => {
  expect(unitsOf('attempts')).toEqual([]);
  expect(bestUnit(5, 'attempts')).toEqual({ name: 'attempts', step: 1 });
});
