import { t } from '@lingui/core/macro';
import { Text } from '@mantine/core';

/** The first words of a list, and the number of the others. */
export function FirstOf({ words, shown }: { words: string[]; shown: number }) {
  const first = words.slice(0, shown).join(', ') || '–';
  const more = words.length - shown;
  return (
    <Text size="sm" className="anywhere">
      {more > 0 ? t`${first} and ${more} more` : first}
    </Text>
  );
}
