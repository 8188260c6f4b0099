import { t } from '@lingui/core/macro';
import { Text } from '@mantine/core';
import { useIsInPanel } from './address';

/** The first words of a list, and the number of the others. The panel beside a list shows all words. */
export function FirstOf({ words, shown }: { words: string[]; shown: number }) {
  const most = useIsInPanel() ? words.length : shown;
  const first = words.slice(0, most).join(', ') || '–';
  const more = words.length - most;
  return (
    <Text size="sm" className="anywhere">
      {more > 0 ? t`${first} and ${more} more` : first}
    </Text>
  );
}
