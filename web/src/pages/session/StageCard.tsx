import { Center, Paper, Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

interface Props {
  title: string;
  /** The reason. */
  reason: ReactNode;
  /** Further content and the next steps. */
  children: ReactNode;
}

/** The card that is shown instead of a desktop. */
export function StageCard({ title, reason, children }: Props) {
  return (
    <Center h="100%" p="md">
      <Paper p="xl" radius="lg" w="100%" maw={460} shadow="xl" className="surface">
        <Stack>
          <Title order={1} fz={20}>
            {title}
          </Title>
          <Text size="sm" role="status" style={{ overflowWrap: 'anywhere' }}>
            {reason}
          </Text>
          {children}
        </Stack>
      </Paper>
    </Center>
  );
}
