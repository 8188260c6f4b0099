import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Anchor, Button, Divider, Group, Stack, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import { completeLogIn, completeLogInWithPasskey, type SecondFactorNeeded } from '../api/secondFactors';

export interface Props {
  needed: SecondFactorNeeded;
  onDone: () => unknown;
  onBack: () => void;
}

/** The second step of a log-in: a code, a passkey or a recovery code. */
export function SecondStep({ needed, onDone, onBack }: Props) {
  const hasApp = needed.methods.includes('totp');
  const hasPasskey = needed.methods.includes('passkey');
  const [recovering, setRecovering] = useState(false);
  const [code, setCode] = useState('');
  const enter = useMutation({
    mutationFn: (run: () => Promise<unknown>) => run(),
    onSuccess: onDone,
    onError: () => setCode(''),
  });
  const send = () => enter.mutate(() => completeLogIn(recovering ? { recovery_code: code } : { code }));
  const asksForCode = recovering || hasApp;
  return (
    <Stack>
      {enter.isError && (
        <Alert color="red" variant="light" role="alert">
          {messageOf(enter.error)}
        </Alert>
      )}
      {asksForCode && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            send();
          }}
        >
          <Stack>
            <TextInput
              key={String(recovering)}
              label={recovering ? t`Recovery code` : t`Code of your authenticator app`}
              name="code"
              autoComplete="one-time-code"
              inputMode={recovering ? 'text' : 'numeric'}
              required
              withAsterisk={false}
              autoFocus
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
            <Button type="submit" fullWidth loading={enter.isPending}>
              <Trans>Log in</Trans>
            </Button>
          </Stack>
        </form>
      )}
      {hasPasskey && !recovering && (
        <>
          {asksForCode && <Divider label={t`or`} />}
          <Button
            fullWidth
            variant={asksForCode ? 'default' : 'filled'}
            loading={enter.isPending}
            onClick={() => enter.mutate(completeLogInWithPasskey)}
          >
            <Trans>Use a passkey</Trans>
          </Button>
        </>
      )}
      <Group justify="space-between">
        <Anchor component="button" type="button" size="sm" onClick={onBack}>
          <Trans>Back</Trans>
        </Anchor>
        {(needed.recovery_codes > 0 || recovering) && (
          <Anchor
            component="button"
            type="button"
            size="sm"
            onClick={() => {
              setCode('');
              enter.reset();
              setRecovering(!recovering);
            }}
          >
            {recovering ? t`Use another factor` : t`Use a recovery code`}
          </Anchor>
        )}
      </Group>
    </Stack>
  );
}
