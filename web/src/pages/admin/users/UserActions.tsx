import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Checkbox, Group, PasswordInput, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDisclosure } from '@mantine/hooks';
import { IconLockOpen, IconTrash, IconUserCheck, IconUserOff, type TablerIcon } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changeUser, deleteUser } from '../../../api/actions';
import { useAllowed, useMe } from '../../../api/auth';
import type { User } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { showDone } from '../../../components/feedback';
import { FormDialog } from '../../../components/Form';
import { RowButton } from '../../../components/RowButton';
import { showReversible } from '../../../components/undo';
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
  const queries = useQueryClient();
  const { username } = user;
  const change = useAction(
    (body: { disabled: boolean } | { locked: boolean }) => changeUser(user.user_id, body),
    ['users'],
    t`The user was not changed`,
  );
  const disable = useAction(
    async (disabled: boolean) => {
      await changeUser(user.user_id, { disabled });
      showReversible(disabled ? t`${username} is disabled.` : t`${username} is enabled.`, async () => {
        await changeUser(user.user_id, { disabled: !disabled });
        await queries.invalidateQueries({ queryKey: ['users'] });
      });
    },
    ['users'],
    t`The user was not changed`,
  );
  if (user.user_id === me?.user.user_id) return null;
  const of = { inRow: onDeletedTo === undefined };
  return (
    <Group gap={of.inRow ? 2 : 6} wrap={of.inRow ? 'nowrap' : 'wrap'} justify="flex-end">
      {allowed('users_modify') && (
        <>
          {user.locked && (
            <Act
              {...of}
              word={t`Unlock`}
              label={t`Unlock ${username}`}
              icon={IconLockOpen}
              onClick={() => change.mutate({ locked: false })}
            />
          )}
          <Act
            {...of}
            word={user.disabled ? t`Enable` : t`Disable`}
            label={user.disabled ? t`Enable ${username}` : t`Disable ${username}`}
            icon={user.disabled ? IconUserCheck : IconUserOff}
            onClick={() => disable.mutate(!user.disabled)}
          />
          {onDeletedTo && (
            <Button size="sm" variant="default" onClick={open}>
              <Trans>Reset Password</Trans>
            </Button>
          )}
        </>
      )}
      {allowed('users_delete') && <DeleteUser {...of} user={user} to={onDeletedTo} />}
      {resetting && <ResetPassword user={user} onClose={close} />}
    </Group>
  );
}

interface Of {
  /** In a row of a table, a button is an icon without text. */
  inRow: boolean;
}

interface ActProps extends Of {
  word: string;
  /** The word and the name of the user. */
  label: string;
  icon: TablerIcon;
  onClick: () => void;
}

function Act({ inRow, word, label, icon, onClick }: ActProps) {
  if (inRow) return <RowButton label={label} icon={icon} onClick={onClick} />;
  return (
    <Button size="sm" variant="default" onClick={onClick} aria-label={label}>
      {word}
    </Button>
  );
}

function DeleteUser({ user, inRow, to }: Of & { user: User; to: string | undefined }) {
  const { username, num_sessions } = user;
  const [force, setForce] = useState(false);
  return (
    <Confirm
      title={t`Delete ${username}?`}
      action={t`Delete`}
      onConfirm={() => deleteUser(user.user_id, force)}
      to={to}
      touched={['users', 'groups', 'sessions']}
      trigger={(open) => (
        <Act
          inRow={inRow}
          word={t`Delete`}
          label={t`Delete ${username}`}
          icon={IconTrash}
          onClick={() => {
            setForce(false);
            open();
          }}
        />
      )}
    >
      <Stack gap="sm">
        <Trans>The account is permanently deleted.</Trans>
        {num_sessions > 0 && (
          <Checkbox
            label={t`End ${plural(num_sessions, { one: '# session', other: '# sessions' })} of this user, too`}
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
  const { username } = user;
  return (
    <FormDialog
      title={t`Reset the password of ${username}`}
      form={form}
      save={(values) => changeUser(user.user_id, values)}
      touched={['users']}
      onSaved={() => showDone(t`The password was reset. All log-ins of the user have ended.`)}
      onClose={onClose}
    >
      <PasswordInput
        label={t`New password`}
        description={t`Send it to the user over a secure channel; the user can change it under My account`}
        required
        data-autofocus
        autoComplete="new-password"
        {...form.getInputProps('password')}
      />
    </FormDialog>
  );
}
