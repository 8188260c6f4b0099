import { Anchor, Center, Paper, Stack, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { meQuery } from '../api/auth';
import { EnrollFactor } from '../components/EnrollFactor';
import { useLogOut } from './useLogOut';

/** The page after a log-in whose user must enroll a second factor. The api refuses other requests until then. */
export function FirstFactor() {
  const queries = useQueryClient();
  const leave = useLogOut();
  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={480} gap="lg">
        <Title order={1} fz={26} ta="center">
          Add a second factor
        </Title>
        <Text c="dimmed" size="sm" ta="center">
          Your group requires one, in addition to your password.
        </Text>
        <Paper withBorder p="xl" radius="lg" shadow="sm" className="surface">
          <Stack>
            <EnrollFactor
              onDone={() => queries.invalidateQueries({ queryKey: meQuery.queryKey })}
              recoveryCodes={null}
            />
            <Anchor component="button" type="button" size="sm" onClick={() => leave.mutate()} maw="max-content">
              Log out
            </Anchor>
          </Stack>
        </Paper>
      </Stack>
    </Center>
  );
}
