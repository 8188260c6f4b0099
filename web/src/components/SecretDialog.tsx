import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Code, CopyButton, Group, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { Dialog } from './Dialog';

/** The notice about each kind of a secret. */
const NOTICES = {
  secret: t`The secret is shown only once`,
  token: t`The token is shown only once`,
};

interface Props {
  title: string;
  noun: keyof typeof NOTICES;
  secret: string;
  /** What to do with the secret. */
  children: ReactNode;
  onClose: () => void;
}

/** A new secret, shown only once. */
export function SecretDialog({ title, noun, secret, children, onClose }: Props) {
  return (
    <Dialog title={title} onClose={onClose} size="lg" closeOnClickOutside={false}>
      <Stack>
        <Alert color="yellow" variant="light" role="status" title={NOTICES[noun]}>
          {children}
        </Alert>
        <Code block className="anywhere wrapped">
          {secret}
        </Code>
        <Group justify="flex-end">
          <CopyButton value={secret}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy}>
                {copied ? t`Copied` : t`Copy`}
              </Button>
            )}
          </CopyButton>
          <Button onClick={onClose}>
            <Trans>Done</Trans>
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
