import { Alert, Button, Group, Modal, PasswordInput, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { changePassword } from '../api/auth';
import { messageOf } from '../api/client';
import { showDone } from '../components/feedback';

const EYE = { visibilityToggleButtonProps: { 'aria-label': 'Show the password' } };

/** Change the own password; the person's other log-ins end. */
export function PasswordForm({ onClose }: { onClose: () => void }) {
  const [present, setPresent] = useState('');
  const [next, setNext] = useState('');
  const save = useMutation({
    mutationFn: () => changePassword(present, next),
    onSuccess: () => {
      onClose();
      showDone('The password was changed; other log-ins of this account have ended.');
    },
  });
  return (
    <Modal opened onClose={onClose} title={<Text fw={650}>Change password</Text>}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <Stack>
          {save.isError && (
            <Alert color="red" variant="light" role="alert" title="Not changed">
              {messageOf(save.error)}
            </Alert>
          )}
          <PasswordInput
            {...EYE}
            label="Present password"
            autoComplete="current-password"
            required
            data-autofocus
            value={present}
            onChange={(event) => setPresent(event.currentTarget.value)}
          />
          <PasswordInput
            {...EYE}
            label="New password"
            autoComplete="new-password"
            required
            value={next}
            onChange={(event) => setNext(event.currentTarget.value)}
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
    </Modal>
  );
}
