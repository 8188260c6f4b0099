import { Alert, Button, Code, CopyButton, Group, Modal, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { createApiKey } from '../../../api/actions';
import type { Schemas } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { PermissionsField } from '../PermissionsField';

/** Create API Key: the button, its form, and the secret, shown this one time. */
export function CreateApiKey() {
  const [opened, setOpened] = useState(false);
  const [created, setCreated] = useState<Schemas['KeyCreated'] | null>(null);
  const allowed = useAllowed();
  if (!allowed('devapi_create')) return null;
  const close = () => {
    setOpened(false);
    setCreated(null);
  };
  return (
    <>
      <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setOpened(true)}>
        Create API Key
      </Button>
      <Modal
        opened={opened}
        onClose={close}
        size="lg"
        closeOnClickOutside={false}
        title={
          <Text component="span" fw={650}>
            Create API Key
          </Text>
        }
      >
        {created ? <Secret created={created} onClose={close} /> : <Form onCreated={setCreated} onClose={close} />}
      </Modal>
    </>
  );
}

interface FormProps {
  onCreated: (created: Schemas['KeyCreated']) => void;
  onClose: () => void;
}

function Form({ onCreated, onClose }: FormProps) {
  const form = useForm({ initialValues: { name: '', permissions: [] as string[], read_only: false, expires: '' } });
  return (
    <FormFrame
      form={form}
      save={({ expires, ...fields }) =>
        createApiKey({ ...fields, ...(expires ? { expires: new Date(expires).toISOString() } : {}) })
      }
      touched={['api-keys']}
      onSaved={onCreated}
      onCancel={onClose}
    >
      <TextInput label="Name" required data-autofocus {...form.getInputProps('name')} />
      <PermissionsField description="Without any the key may do nothing" {...form.getInputProps('permissions')} />
      <TextInput
        type="datetime-local"
        label="Expires"
        description="Empty = never; the key is refused from then on"
        {...form.getInputProps('expires')}
      />
      <Switch
        label="Read only"
        description="Keeps only the permissions to see"
        {...form.getInputProps('read_only', { type: 'checkbox' })}
      />
    </FormFrame>
  );
}

function Secret({ created, onClose }: { created: Schemas['KeyCreated']; onClose: () => void }) {
  const both = `${created.api_key}:${created.api_key_secret}`;
  return (
    <Stack>
      <Alert color="yellow" variant="light" role="status" title="The secret is shown this one time">
        It is stored nowhere; copy it now.
      </Alert>
      <Text size="sm">
        API key <Code>{created.api_key}</Code>
      </Text>
      <Text size="sm">
        Secret <Code>{created.api_key_secret}</Code>
      </Text>
      <Group justify="flex-end">
        <CopyButton value={both}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy}>
              {copied ? 'Copied' : 'Copy key:secret'}
            </Button>
          )}
        </CopyButton>
        <Button onClick={onClose}>Done</Button>
      </Group>
    </Stack>
  );
}
