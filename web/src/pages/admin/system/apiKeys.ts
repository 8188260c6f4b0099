import { t } from '@lingui/core/macro';
import type { ServiceAccount } from '../../../api/serviceAccounts';
import type { Schemas, User } from '../../../api/types';

/** The fields of a new API key. Without `user_id`, the key belongs to the user who creates it. */
export const NEW = {
  name: '',
  user_id: null as string | null,
  permissions: [] as string[],
  read_only: false,
  expires: '',
};

/** The request of a new API key. */
export function bodyOf({ user_id, expires, ...fields }: typeof NEW): Schemas['KeyCreate'] {
  return {
    ...fields,
    ...(user_id ? { user_id } : {}),
    ...(expires ? { expires: new Date(expires).toISOString() } : {}),
  };
}

/** The users and service accounts that a key can belong to, by name. */
export function ownersOf(
  users: Pick<User, 'user_id' | 'username' | 'anonymous'>[],
  accounts: Pick<ServiceAccount, 'service_account_id' | 'name'>[] = [],
) {
  const people = users.filter(({ anonymous }) => !anonymous);
  return [
    ...people.map(({ user_id, username }) => ({ value: user_id, label: username })),
    ...accounts.map(({ service_account_id, name }) => ({ value: service_account_id, label: t`${name} (service)` })),
  ].sort((one, other) => one.label.localeCompare(other.label));
}
