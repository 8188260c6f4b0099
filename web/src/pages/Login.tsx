import { Alert, Button, Center, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { logIn, meQuery } from '../api/auth';
import { isLoggedOut, messageOf, retryTemporary } from '../api/client';
import type { SecondFactorNeeded } from '../api/secondFactors';
import { SignOnButtons, SignOnRefusal } from '../components/SignOnButtons';
import { SecondStep } from './SecondStep';

/** The log-in form at any address. After the log-in, the page of the address is shown. */
export function Login() {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [needed, setNeeded] = useState<SecondFactorNeeded | null>(null);
  const queries = useQueryClient();
  const finish = () => queries.invalidateQueries({ queryKey: meQuery.queryKey });
  const back = () => {
    setNeeded(null);
    setPassword('');
  };
  const enter = useMutation({
    mutationFn: () => logIn(username.trim(), password),
    retry: retryTemporary,
    onSuccess: (needed) => (needed ? setNeeded(needed) : finish()),
    onError: (error) => isLoggedOut(error) && setPassword(''),
  });
  return (
    <Center component="main" mih="100vh" p="md">
      <Stack w="100%" maw={380} gap="lg">
        <Stack align="center" gap={6}>
          <img src="/favicon.svg" width={52} height={52} alt="" />
          <Title order={1} fz={26}>
            Greenroom
          </Title>
          <Text c="dimmed" size="sm">
            Log in to open your desktops
          </Text>
        </Stack>
        <Paper withBorder p="xl" radius="lg" shadow="sm" className="surface">
          {needed ? (
            <SecondStep needed={needed} onDone={finish} onBack={back} />
          ) : (
            <>
              <form
                onSubmit={(event) => {
                  event.preventDefault();
                  enter.mutate();
                }}
              >
                <Stack>
                  {enter.isIdle && <SignOnRefusal />}
                  {enter.isError && (
                    <Alert color="red" variant="light" role="alert">
                      {messageOf(enter.error)}
                    </Alert>
                  )}
                  <TextInput
                    label="Username"
                    name="username"
                    autoComplete="username"
                    required
                    withAsterisk={false}
                    autoFocus
                    data-autofocus
                    value={username}
                    onChange={(event) => setUsername(event.currentTarget.value)}
                  />
                  <PasswordInput
                    label="Password"
                    name="password"
                    autoComplete="current-password"
                    required
                    withAsterisk={false}
                    value={password}
                    onChange={(event) => setPassword(event.currentTarget.value)}
                  />
                  <Button type="submit" fullWidth loading={enter.isPending}>
                    Log in
                  </Button>
                </Stack>
              </form>
              <SignOnButtons />
            </>
          )}
        </Paper>
      </Stack>
    </Center>
  );
}
