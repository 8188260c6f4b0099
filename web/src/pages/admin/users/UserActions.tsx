import { Button, Checkbox, Group, PasswordInput, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDisclosure } from '@mantine/hooks';
import { IconLockOpen, IconTrash, IconUserCheck, IconUserOff, type TablerIcon } from '@tabler/icons-react';
import { useState } from 'react';
import { changeUser, deleteUser } from '../../../api/actions';
import { useAllowed, useMe } from '../../../api/auth';
import type { User } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { showDone } from '../../../components/feedback';
import { FormDialog } from '../../../components/Form';
import { counted } from '../../../components/format';
import { RowButton } from '../../../components/RowButton';
import { useAction } from '../../../components/useAction';

interface Props {
  user: User;
  /** The page to open after the user is deleted. */
  onDeletedTo?: string;
}

/** The actions of a user. Users cannot disable or delete their own account. */
export function UserActions({ user, onDeletedTo }: Props) {
  const me = useMe();
  const allowed = useAllowed();
  const [resetting, { open, close }] = useDisclosure(false);
  const change = useAction(
    (body: { disabled: boolean } | { locked: boolean }) => changeUser(user.user_id, body),
    ['users'],
    'The user was not changed',
  );
  if (user.user_id === me?.user.user_id) return null;
  const of = { user, inRow: onDeletedTo === undefined };
  return (
    <Group gap={of.inRow ? 2 : 6} wrap={of.inRow ? 'nowrap' : 'wrap'} justify="flex-end">
      {allowed('users_modify') && (
        <>
          {user.locked && (
            <Act {...of} word="Unlock" icon={IconLockOpen} onClick={() => change.mutate({ locked: false })} />
          )}
          <Act
            {...of}
            word={user.disabled ? 'Enable' : 'Disable'}
            icon={user.disabled ? IconUserCheck : IconUserOff}
            onClick={() => change.mutate({ disabled: !user.disabled })}
          />
          {onDeletedTo && (
            <Button size="sm" variant="default" onClick={open}>
              Reset Password
            </Button>
          )}
        </>
      )}
      {allowed('users_delete') && <DeleteUser {...of} to={onDeletedTo} />}
      {resetting && <ResetPassword user={user} onClose={close} />}
    </Group>
  );
}

interface Of {
  user: User;
  /** In a row of a table, a button is an icon without text. */
  inRow: boolean;
}

interface ActProps extends Of {
  word: string;
  icon: TablerIcon;
  onClick: () => void;
}

function Act({ user, inRow, word, icon, onClick }: ActProps) {
  const label = `${word} ${user.username}`;
  if (inRow) return <RowButton label={label} icon={icon} onClick={onClick} />;
  return (
    <Button size="sm" variant="default" onClick={onClick} aria-label={label}>
      {word}
    </Button>
  );
}

function DeleteUser({ user, inRow, to }: Of & { to: string | undefined }) {
  const [force, setForce] = useState(false);
  return (
    <Confirm
      title={`Delete ${user.username}?`}
      action="Delete"
      onConfirm={() => deleteUser(user.user_id, force)}
      to={to}
      touched={['users', 'groups', 'sessions']}
      trigger={(open) => (
        <Act
          {...{ user, inRow }}
          word="Delete"
          icon={IconTrash}
          onClick={() => {
            setForce(false);
            open();
          }}
        />
      )}
    >
      <Stack gap="sm">
        The account is permanently deleted.
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
      onSaved={() => showDone('The password was reset. All log-ins of the user have ended.')}
      onClose={onClose}
    >
      <PasswordInput
        label="New password"
        description="Send it to the user over a secure channel; the user can change it under My account"
        required
        data-autofocus
        autoComplete="new-password"
        {...form.getInputProps('password')}
      />
    </FormDialog>
  );
}
