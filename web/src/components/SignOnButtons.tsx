import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Divider, Stack } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconLogin2 } from '@tabler/icons-react';
import { messageOf } from '../api/client';
import { signOnQuery, startSignOn } from '../api/signOn';
import { pageAfterLogIn, refusalIn } from './refusals';
import styles from './SignOnButtons.module.css';

/** The buttons of the providers below the log-in form. Without a provider, nothing is shown. */
export function SignOnButtons() {
  const offered = useQuery(signOnQuery);
  const start = useMutation({
    mutationFn: (name: string) => startSignOn(name, pageAfterLogIn(location.pathname, location.search)),
    onSuccess: (url) => location.assign(url),
  });
  const providers = offered.data?.providers ?? [];
  if (providers.length === 0) return null;
  return (
    <Stack className={styles.providers}>
      <Divider label={t`or`} />
      {start.isError && (
        <Alert color="red" variant="light" role="alert">
          {messageOf(start.error)}
        </Alert>
      )}
      {providers.map(({ name, title }) => (
        <Button
          key={name}
          variant="default"
          fullWidth
          classNames={{ root: styles.provider, label: styles.title }}
          leftSection={<IconLogin2 size={16} aria-hidden />}
          loading={start.isPending && start.variables === name}
          onClick={() => start.mutate(name)}
        >
          <Trans>Log in with {title}</Trans>
        </Button>
      ))}
    </Stack>
  );
}

/** The reason why a sign-on was refused; null if the address has none. */
export function useSignOnRefusal(): string | null {
  const offered = useQuery(signOnQuery);
  return offered.isPending ? null : refusalIn(location.search, offered.data?.refusals);
}

/** The same as a notice. */
export function SignOnRefusal() {
  const refusal = useSignOnRefusal();
  if (refusal === null) return null;
  return (
    <Alert color="red" variant="light" role="alert">
      {refusal}
    </Alert>
  );
}
