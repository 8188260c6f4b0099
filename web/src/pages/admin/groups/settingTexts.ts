import type { Setting } from '../../../api/types';
import { unitOf } from '../../../components/format';

const KINDS: Record<string, string> = {
  bool: 'yes or no',
  int: 'whole number',
  float: 'number',
  string: 'text',
  choice: 'choice',
  mapping: 'JSON object',
};

/** Type, unit, least value and default in one line. */
export function factsOf({ kind, unit, minimum, default: value }: Setting): string {
  const type = [KINDS[kind] ?? kind, unit && `in ${unit}`, minimum !== null && `at least ${minimum}`];
  return `Type: ${type.filter(Boolean).join(', ')} · Default: ${shownValue(value, unit)}`;
}

/** A value as people read it. */
export function shownValue(value: unknown, unit: string): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'object') return JSON.stringify(value);
  if (value === '') return 'nothing';
  return unit ? `${String(value)} ${unitOf(value, unit)}` : String(value);
}
