import { t } from '@lingui/core/macro';

/** "e.g. campus": the placeholder of a field, which must not look like a value. */
export function example(text: string): string {
  return t`e.g. ${text}`;
}
