import { Center, Paper, Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { useLogOut } from './useLogOut';

interface Props {
  title: string;
  /** The reason why the step is required. */
  note: string;
  width: number;
  children: (logOut: () => void) => ReactNode;
}

/** The page of a step that is required after a log-in, at any address. The api refuses other requests until then. */
export function FirstStep({ title, note, width, children }: Props) {
  const leave = useLogOut();
  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={width} gap="lg">
        <Title order={1} fz={26} ta="center">
          {title}
        </Title>
        <Text c="dimmed" size="sm" ta="center">
          {note}
        </Text>
        <Paper withBorder p="xl" radius="lg" shadow="sm" className="surface">
          {children(() => leave.mutate())}
        </Paper>
      </Stack>
    </Center>
  );
}
