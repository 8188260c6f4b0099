import { Alert, Button, Code, CopyButton, Group, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { Dialog } from './Dialog';

interface Props {
  title: string;
  /** The word for the secret in the notice, such as "secret" or "token". */
  noun: string;
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
        <Alert color="yellow" variant="light" role="status" title={`The ${noun} is shown only once`}>
          {children}
        </Alert>
        <Code block className="anywhere wrapped">
          {secret}
        </Code>
        <Group justify="flex-end">
          <CopyButton value={secret}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy}>
                {copied ? 'Copied' : 'Copy'}
              </Button>
            )}
          </CopyButton>
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
