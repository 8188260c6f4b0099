import { Button, Checkbox, Group, PasswordInput, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { changeUser, deleteUser } from '../../../api/actions';
import { meQuery, useAllowed } from '../../../api/auth';
import type { User } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { showDone } from '../../../components/feedback';
import { FormDialog } from '../../../components/Form';
import { counted } from '../../../components/format';
import { useAction } from '../../../components/useAction';

interface Props {
  user: User;
  /** Where to go when the user is gone. */
  onDeletedTo?: string;
}

/** What can be done with a user; nobody disables or deletes their own account. */
export function UserActions({ user, onDeletedTo }: Props) {
  const { data: me } = useQuery(meQuery);
  const allowed = useAllowed();
  const [resetting, { open, close }] = useDisclosure(false);
  const change = useAction(
    (body: { disabled: boolean } | { locked: boolean }) => changeUser(user.user_id, body),
    ['users'],
    'The user was not changed',
  );
  if (user.user_id === me?.user.user_id) return null;
  const look = { size: onDeletedTo ? 'sm' : 'compact-sm', variant: 'default' } as const;
  return (
    <Group gap={6} wrap="nowrap" justify="flex-end">
      {allowed('users_modify') && (
        <>
          {user.locked && (
            <Button {...look} onClick={() => change.mutate({ locked: false })} aria-label={`Unlock ${user.username}`}>
              Unlock
            </Button>
          )}
          <Button
            {...look}
            loading={change.isPending}
            onClick={() => change.mutate({ disabled: !user.disabled })}
            aria-label={`${user.disabled ? 'Enable' : 'Disable'} ${user.username}`}
          >
            {user.disabled ? 'Enable' : 'Disable'}
          </Button>
          {onDeletedTo && (
            <Button {...look} onClick={open}>
              Reset Password
            </Button>
          )}
        </>
      )}
      {allowed('users_delete') && <DeleteUser user={user} look={look} to={onDeletedTo} />}
      {resetting && <ResetPassword user={user} onClose={close} />}
    </Group>
  );
}

interface DeleteProps {
  user: User;
  look: object;
  to: string | undefined;
}

function DeleteUser({ user, look, to }: DeleteProps) {
  const navigate = useNavigate();
  const [force, setForce] = useState(false);
  return (
    <Confirm
      title={`Delete ${user.username}?`}
      action="Delete"
      onConfirm={async () => {
        await deleteUser(user.user_id, force);
        if (to) await navigate(to);
      }}
      touched={['users', 'groups', 'sessions']}
      trigger={(open) => (
        <Button
          {...look}
          onClick={() => {
            setForce(false);
            open();
          }}
          aria-label={`Delete ${user.username}`}
        >
          Delete
        </Button>
      )}
    >
      <Stack gap="sm">
        The account is removed for good.
        {user.num_sessions > 0 && (
          <Checkbox
            label={`End ${counted(user.num_sessions, 'session')} of this user, too`}
            checked={force}
            onChange={(event) => setForce(event.currentTarget.checked)}
          />
        )}
      </Stack>
    </Confirm>
  );
}

function ResetPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const form = useForm({ initialValues: { password: '' } });
  return (
    <FormDialog
      title={`Reset the password of ${user.username}`}
      form={form}
      save={(values) => changeUser(user.user_id, values)}
      touched={['users']}
      onSaved={() => showDone('The password was reset; all log-ins of the user have ended.')}
      onClose={onClose}
    >
      <PasswordInput
        label="New password"
        description="Tell it to the user in a safe way; it can be changed under My account"
        required
        data-autofocus
        autoComplete="new-password"
        visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
        {...form.getInputProps('password')}
      />
    </FormDialog>
  );
}
