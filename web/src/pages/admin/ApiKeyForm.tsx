import {
  Alert,
  Button,
  Code,
  CopyButton,
  Group,
  Modal,
  MultiSelect,
  Stack,
  Switch,
  Text,
  TextInput,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../api/auth';
import { messageOf } from '../../api/client';
import { createApiKey, permissionsQuery } from '../../api/queries';
import type { Schemas } from '../../api/types';

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
      <Modal opened={opened} onClose={close} size="lg" title={<Text fw={650}>Create API Key</Text>}>
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
  const queries = useQueryClient();
  const allowed = useAllowed();
  const known = useQuery({ ...permissionsQuery, refetchInterval: false });
  const [name, setName] = useState('');
  const [permissions, setPermissions] = useState<string[]>([]);
  const [readOnly, setReadOnly] = useState(false);
  const save = useMutation({
    mutationFn: () => createApiKey({ name, permissions, read_only: readOnly }),
    onSuccess: async (created) => {
      onCreated(created);
      await queries.invalidateQueries({ queryKey: ['api-keys'] });
    },
  });
  const choices = (known.data ?? []).filter(({ code }) => allowed(code));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      <Stack>
        {save.isError && (
          <Alert color="red" variant="light" role="alert" title="Not saved">
            {messageOf(save.error)}
          </Alert>
        )}
        <TextInput
          label="Name"
          required
          data-autofocus
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <MultiSelect
          label="Permissions"
          description="Without any the key may do nothing"
          searchable
          value={permissions}
          onChange={setPermissions}
          data={choices.map(({ code, description }) => ({ value: code, label: `${code}: ${description}` }))}
        />
        <Switch
          label="Read only"
          description="Keeps only the permissions to see"
          checked={readOnly}
          onChange={(event) => setReadOnly(event.currentTarget.checked)}
        />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={save.isPending}>
            Submit
          </Button>
        </Group>
      </Stack>
    </form>
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
