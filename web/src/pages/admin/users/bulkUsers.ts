import { plural, t } from '@lingui/core/macro';
import { IconTrash, IconUserCheck, IconUserOff } from '@tabler/icons-react';
import { useMemo } from 'react';
import { changeUser, deleteUser } from '../../../api/actions';
import { useAllowed, useMe } from '../../../api/auth';
import type { User } from '../../../api/types';
import type { Bulk, BulkAction } from '../../../components/bulk';

/** The actions for several users, as far as the user may change or delete users; undefined = none. */
export function useBulkUsers(): Bulk<User> | undefined {
  const allowed = useAllowed();
  const mayModify = allowed('users_modify');
  const mayDelete = allowed('users_delete');
  const ownId = useMe()?.user.user_id;
  return useMemo(() => {
    const actions = [...(mayModify ? switchesOf(ownId) : []), ...(mayDelete ? [deletionOf(ownId)] : [])];
    return actions.length === 0
      ? undefined
      : { noun: 'user', nameOf: ({ username }) => username, touched: ['users', 'groups', 'sessions'], actions };
  }, [mayModify, mayDelete, ownId]);
}

const OWN = t`This is your own account.`;

function switchesOf(ownId: string | undefined): BulkAction<User>[] {
  return [
    {
      label: t`Disable`,
      icon: IconUserOff,
      effect: () => t`The user cannot log in any more. Sessions end at their time limits.`,
      refusal: (user) => (user.user_id === ownId ? OWN : user.disabled ? t`The user is disabled already.` : null),
      run: ({ user_id }) => changeUser(user_id, { disabled: true }),
      undo: ({ user_id }) => changeUser(user_id, { disabled: false }),
      isDangerous: true,
    },
    {
      label: t`Enable`,
      icon: IconUserCheck,
      effect: () => t`The user can log in again.`,
      refusal: (user) => (user.user_id === ownId ? OWN : user.disabled ? null : t`The user is enabled already.`),
      run: ({ user_id }) => changeUser(user_id, { disabled: false }),
      undo: ({ user_id }) => changeUser(user_id, { disabled: true }),
    },
  ];
}

function deletionOf(ownId: string | undefined): BulkAction<User> {
  return {
    label: t`Delete`,
    icon: IconTrash,
    effect: () => t`The account is permanently deleted.`,
    refusal: ({ user_id, num_sessions }) => {
      if (user_id === ownId) return OWN;
      return num_sessions > 0
        ? t`End ${plural(num_sessions, { one: '# session', other: '# sessions' })} of this user first.`
        : null;
    },
    run: ({ user_id }) => deleteUser(user_id, false),
    isDangerous: true,
  };
}
