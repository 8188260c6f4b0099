import { Fieldset, SimpleGrid, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';

interface Props {
  title: string;
  note?: string;
  children: ReactNode;
}

/** A section of a long form. */
export function Section({ title, note, children }: Props) {
  return (
    <Fieldset legend={title}>
      <Stack gap="sm">
        {note && (
          <Text size="xs" c="dimmed">
            {note}
          </Text>
        )}
        {children}
      </Stack>
    </Fieldset>
  );
}

/** Fields in two columns, or in one on a narrow screen. */
export function Columns({ children }: { children: ReactNode }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="sm">
      {children}
    </SimpleGrid>
  );
}
