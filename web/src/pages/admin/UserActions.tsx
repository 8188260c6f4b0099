import { Button, Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { meQuery, useAllowed } from '../../api/auth';
import { changeUser, deleteUser } from '../../api/queries';
import type { User } from '../../api/types';
import { Confirm } from '../../components/ConfirmButton';
import { counted } from '../../components/format';
import { useAction } from '../../components/useAction';

/** What can be done with a user; nobody disables or deletes himself. */
export function UserActions({ user }: { user: User }) {
  const { data: me } = useQuery(meQuery);
  const allowed = useAllowed();
  const change = useAction(
    (disabled: boolean) => changeUser(user.user_id, { disabled }),
    ['users'],
    'The user was not changed',
  );
  const remove = useAction(() => deleteUser(user.user_id), ['users'], 'The user was not deleted');
  if (user.user_id === me?.user.user_id) return null;
  return (
    <Group gap={6} wrap="nowrap" justify="flex-end">
      {allowed('users_modify') && (
        <Button
          size="compact-sm"
          variant="default"
          loading={change.isPending}
          onClick={() => change.mutate(!user.disabled)}
          aria-label={`${user.disabled ? 'Enable' : 'Disable'} ${user.username}`}
        >
          {user.disabled ? 'Enable' : 'Disable'}
        </Button>
      )}
      {allowed('users_delete') && (
        <Confirm
          title={`Delete ${user.username}?`}
          action="Delete"
          onConfirm={() => remove.mutateAsync(undefined)}
          trigger={(open) => (
            <Button size="compact-sm" variant="default" onClick={open} aria-label={`Delete ${user.username}`}>
              Delete
            </Button>
          )}
        >
          The account is removed for good
          {user.num_sessions > 0 ? `; it has ${counted(user.num_sessions, 'session')}` : ''}.
        </Confirm>
      )}
    </Group>
  );
}
