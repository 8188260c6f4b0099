/** Numbers with a unit: the larger units in which people enter and read them. */

import { decimal, unitOf } from './format';

/** A unit for people, and the number of base units in it. */
export interface Unit {
  name: string;
  step: number;
}

const DAYS = { name: 'days', step: 86_400 };
const HOURS = { name: 'hours', step: 3_600 };
const MINUTES = { name: 'minutes', step: 60 };
const SECONDS = { name: 'seconds', step: 1 };
const TIMES = [DAYS, HOURS, MINUTES, SECONDS];

/** Base unit → the units to choose from, the largest first. */
const FAMILIES: Record<string, Unit[]> = {
  s: TIMES,
  min: [DAYS, HOURS, MINUTES].map(({ name, step }) => ({ name, step: step / 60 })),
  B: sizes(1e6),
  MB: sizes(1),
};
const SIZES = ['B', 'MB'];
const MOST_DECIMALS = 3;

function sizes(megabyte: number): Unit[] {
  return [
    { name: 'TB', step: 1e6 * megabyte },
    { name: 'GB', step: 1e3 * megabyte },
    { name: 'MB', step: megabyte },
  ];
}

/** The units in which a number of base units can be entered; empty = the base unit only. */
export function unitsOf(base: string): Unit[] {
  return FAMILIES[base] ?? [];
}

/**
 * The unit in which a number reads best. Times have the largest unit in which they are whole, sizes the largest one in
 * which they have few decimals. 0 and empty fields have a unit in which the next number is probably entered.
 */
export function bestUnit(value: unknown, base: string): Unit {
  const units = unitsOf(base);
  const isSize = SIZES.includes(base);
  if (typeof value !== 'number' || value === 0) return units[1] ?? { name: base, step: 1 };
  const digits = isSize ? MOST_DECIMALS : 0;
  const reads = ({ step }: Unit) =>
    Math.abs(value) >= step && rounded(value / step, digits) === rounded(value / step, 9);
  const fits = ({ step }: Unit) => isSize && Math.abs(value) >= step;
  return units.find(reads) ?? units.find(fits) ?? units.at(-1) ?? { name: base, step: 1 };
}

/** The number of a unit, without the errors of binary fractions. */
export function inUnit(value: number, { step }: Unit): number {
  return rounded(value / step, 9);
}

/** The base units of a number in a unit. Sizes in bytes are whole. */
export function fromUnit(amount: number, { step }: Unit, base: string): number {
  return rounded(amount * step, base === 'B' ? 0 : 6);
}

/** A number with its unit as people read it: 43200 s are "12 hours", 2768 MB "2.768 GB". */
export function amountIn(value: number, base: string): string {
  const unit = value === 0 ? unitsOf(base).at(-1) : bestUnit(value, base);
  if (!unit || unitsOf(base).length === 0)
    return base ? `${decimal(value, 9)} ${unitOf(value, base)}` : decimal(value, 9);
  const amount = SIZES.includes(base) ? rounded(value / unit.step, MOST_DECIMALS) : inUnit(value, unit);
  return `${decimal(amount, 9)} ${unitOf(amount, unit.name)}`;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
