import { Text } from '@mantine/core';

/** The first words of a list, and the number of the others. */
export function FirstOf({ words, shown }: { words: string[]; shown: number }) {
  return (
    <Text size="sm" className="anywhere">
      {words.slice(0, shown).join(', ') || '–'}
      {words.length > shown && ` and ${words.length - shown} more`}
    </Text>
  );
}
