import type { Setting } from '../../../api/types';
import { amountIn, unitOf } from '../../../components/format';

const KINDS: Record<string, string> = {
  bool: 'yes or no',
  int: 'whole number',
  float: 'number',
  string: 'text',
  choice: 'choice',
  mapping: 'JSON object',
};

/** Type, unit, minimum and default in one line. */
export function factsOf({ kind, unit, minimum, default: value }: Setting): string {
  const type = [KINDS[kind] ?? kind, unit && `in ${unit}`, minimum !== null && `at least ${minimum}`];
  return `Type: ${type.filter(Boolean).join(', ')} · Default: ${shownValue(value, unit)}`;
}

/** The text of a value. */
export function shownValue(value: unknown, unit: string): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (value === '') return 'nothing';
  if (typeof value === 'number' && unit) return amountIn(value, unit);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return unit && typeof value !== 'object' ? `${text} ${unitOf(value, unit)}` : text;
}
