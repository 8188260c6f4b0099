import { Alert, Button, Code, CopyButton, Group, Stack } from '@mantine/core';
import { Dialog } from '../../../components/Dialog';

interface Props {
  name: string;
  secret: string;
  onClose: () => void;
}

/** The secret of a webhook, shown only once. */
export function Secret({ name, secret, onClose }: Props) {
  return (
    <Dialog title={<>Secret of {name}</>} onClose={onClose} size="lg" closeOnClickOutside={false}>
      <Stack>
        <Alert color="yellow" variant="light" role="status" title="The secret is shown only once">
          Copy the secret to the receiver, which uses it to verify the signature of each message.
        </Alert>
        <Code block style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
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
