import { Text } from '@mantine/core';

/** The first of some words, and how many more there are. */
export function FirstOf({ words, shown }: { words: string[]; shown: number }) {
  return (
    <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
      {words.slice(0, shown).join(', ') || '–'}
      {words.length > shown && ` and ${words.length - shown} more`}
    </Text>
  );
}
