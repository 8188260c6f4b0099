import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Suspense, useState } from 'react';
import { logIn, meQuery } from '../api/auth';
import { useBranding } from '../api/branding';
import { isLoggedOut, messageOf, retryTemporary } from '../api/client';
import type { SecondFactorNeeded } from '../api/secondFactors';
import { Logo } from '../app/Mark';
import { LateWords } from '../components/feedback';
import { Gate } from '../components/Gate';
import { lazily } from '../components/lazily';
import { SignOnButtons, useSignOnRefusal } from '../components/SignOnButtons';
import styles from './Login.module.css';
import type { Props as SecondStepProps } from './SecondStep';

const SecondStep = lazily<'SecondStep', SecondStepProps>(() => import('./SecondStep'), 'SecondStep');

/** The log-in form at any address. After the log-in, the page of the address is shown. */
export function Login() {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [needed, setNeeded] = useState<SecondFactorNeeded | null>(null);
  const queries = useQueryClient();
  const branding = useBranding();
  const signOnRefusal = useSignOnRefusal();
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
  const usual = t`Log in to open your desktops`;
  const refusal = enter.isError ? messageOf(enter.error) : enter.isIdle ? signOnRefusal : null;
  return (
    <Gate
      above={<Logo size={48} />}
      title={branding.name}
      note={
        <span className={styles.note}>
          {refusal === null ? (
            enter.isPending ? (
              <LateWords>{usual}</LateWords>
            ) : (
              usual
            )
          ) : (
            <span className={styles.refusal} role="alert">
              {refusal}
            </span>
          )}
        </span>
      }
      below={<Notice notice={branding.notice} supportUrl={branding.support_url} />}
    >
      {needed ? (
        <Suspense>
          <SecondStep needed={needed} onDone={finish} onBack={back} />
        </Suspense>
      ) : (
        <>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              enter.mutate();
            }}
          >
            <Stack>
              <TextInput
                label={t`Username`}
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
                label={t`Password`}
                name="password"
                autoComplete="current-password"
                required
                withAsterisk={false}
                value={password}
                onChange={(event) => setPassword(event.currentTarget.value)}
              />
              <Button type="submit" fullWidth loading={enter.isPending}>
                <Trans>Log in</Trans>
              </Button>
            </Stack>
          </form>
          <SignOnButtons />
        </>
      )}
    </Gate>
  );
}

/** What the administrators want everyone to read, and where users get help. */
function Notice({ notice, supportUrl }: { notice: string; supportUrl: string }) {
  if (!notice && !supportUrl) return null;
  return (
    <div className={styles.below}>
      {notice && <p className={styles.notice}>{notice}</p>}
      {supportUrl && (
        <a href={supportUrl}>
          <Trans>Help with the log-in</Trans>
        </a>
      )}
    </div>
  );
}
