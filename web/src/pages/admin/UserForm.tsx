import {
  Alert,
  Button,
  Group,
  Modal,
  MultiSelect,
  PasswordInput,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../api/auth';
import { messageOf } from '../../api/client';
import { createUser, groupsQuery } from '../../api/queries';

/** Create User: the button and its form. */
export function CreateUser() {
  const [opened, { open, close }] = useDisclosure(false);
  const allowed = useAllowed();
  if (!allowed('users_create')) return null;
  return (
    <>
      <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>
        Create User
      </Button>
      <Modal opened={opened} onClose={close} title={<Text fw={650}>Create User</Text>}>
        <Form onClose={close} />
      </Modal>
    </>
  );
}

function Form({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const groups = useQuery(groupsQuery);
  const [fields, setFields] = useState({ username: '', password: '', first_name: '', last_name: '' });
  const [memberships, setMemberships] = useState<string[]>([]);
  const save = useMutation({
    mutationFn: () => createUser({ ...fields, groups: memberships }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['users'] });
      onClose();
    },
  });
  const field = (name: keyof typeof fields) => ({
    value: fields[name],
    onChange: (event: { currentTarget: { value: string } }) => {
      const { value } = event.currentTarget;
      setFields((before) => ({ ...before, [name]: value }));
    },
  });
  const choices = (groups.data ?? []).filter((group) => group.name !== 'All Users');
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
        <TextInput label="Username" required autoComplete="off" data-autofocus {...field('username')} />
        <PasswordInput label="Password" required autoComplete="new-password" {...field('password')} />
        <SimpleGrid cols={2}>
          <TextInput label="First Name" {...field('first_name')} />
          <TextInput label="Last Name" {...field('last_name')} />
        </SimpleGrid>
        <MultiSelect
          label="Groups"
          description="Besides All Users"
          value={memberships}
          onChange={setMemberships}
          data={choices.map((group) => ({ value: group.group_id, label: group.name }))}
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
