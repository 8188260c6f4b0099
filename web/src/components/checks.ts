/** The errors of values while they are typed. The limits come from the api (limits.ts, settings). */

import { t } from '@lingui/core/macro';
import { LIMITS } from '../api/limits';
import type { Setting } from '../api/types';
import { amountIn } from './units';

/** The limits of a value, as JSON Schema names them. */
export interface Limits {
  type: string;
  minimum?: number | undefined;
  exclusiveMinimum?: number | undefined;
  maximum?: number | undefined;
  exclusiveMaximum?: number | undefined;
  maxLength?: number | undefined;
}

/** The reason why a value is refused; null = it has the right type and range. `unit` is that of a number. */
export function problemOf(limits: Limits, value: unknown, unit = ''): string | null {
  const { type, minimum, exclusiveMinimum, maximum, exclusiveMaximum, maxLength } = limits;
  if (type === 'string') {
    const length = typeof value === 'string' ? Array.from(value).length : 0;
    return maxLength !== undefined && length > maxLength
      ? t`Enter at most ${maxLength} characters; there are ${length}.`
      : null;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return t`Enter a number.`;
  if (type === 'integer' && !Number.isInteger(value)) {
    return unit && unit !== 'B' ? t`Enter a whole number (${unit}).` : t`Enter a whole number.`;
  }
  if (minimum !== undefined && value < minimum) return notBelow(amountIn(minimum, unit));
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return above(amountIn(exclusiveMinimum, unit));
  if (maximum !== undefined && value > maximum) return notAbove(amountIn(maximum, unit));
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return below(amountIn(exclusiveMaximum, unit));
  return null;
}

const notBelow = (amount: string) => t`Enter at least ${amount}.`;
const above = (amount: string) => t`Enter more than ${amount}.`;
const notAbove = (amount: string) => t`Enter at most ${amount}.`;
const below = (amount: string) => t`Enter less than ${amount}.`;

type SchemaName = keyof typeof LIMITS;

interface Options {
  /** Field → the unit of its number. */
  units?: Record<string, string>;
  /** The fields that may be empty. */
  optional?: string[];
  /** Fields of the form that have another name in the request. */
  named?: Record<string, string>;
}

/** The checks of the fields of a form, for `validate` of `useForm`, by the limits of the request that it sends. */
export function checksOf(schema: SchemaName, { units = {}, optional = [], named = {} }: Options = {}) {
  const limits: Record<string, Limits> = LIMITS[schema];
  const names = Object.fromEntries(Object.keys(limits).map((name) => [name, name]));
  const fields = Object.entries({ ...names, ...named });
  return Object.fromEntries(
    fields.map(([field, name]) => [
      field,
      (value: unknown) => {
        const own = limits[name];
        const isAbsent = value === undefined || value === null || (value === '' && optional.includes(field));
        return own && !isAbsent ? problemOf(own, value, units[field]) : null;
      },
    ]),
  ) as Record<string, (value: unknown) => string | null>;
}

/** The reason why the value of a setting has the wrong type or range; null = the server decides. */
export function settingProblem({ kind, minimum, maximum, unit }: Setting, value: unknown): string | null {
  if (kind !== 'int' && kind !== 'float') return null;
  const type = kind === 'int' ? 'integer' : 'number';
  return problemOf({ type, minimum: minimum ?? undefined, maximum: maximum ?? undefined }, value, unit);
}
