import type { ServiceAccount } from '../../../api/serviceAccounts';

/** The values of the form of a service account. `networks` are separated by spaces; `expires` is a local time. */
export interface Fields {
  name: string;
  description: string;
  contact: string;
  groups: string[];
  networks: string;
  expires: string;
}

/** The values of the form; null = a new account. */
export function fieldsOf(account: ServiceAccount | null): Fields {
  if (account === null) return { name: '', description: '', contact: '', groups: [], networks: '', expires: '' };
  const { name, description, contact } = account;
  const groups = account.groups.filter((group) => group.name !== 'All Users').map(({ group_id }) => group_id);
  return {
    name,
    description,
    contact,
    groups,
    networks: account.networks.join(' '),
    expires: account.expires ? localTime(account.expires) : '',
  };
}

/** The request for these values. */
export function bodyOf({ networks, expires, ...fields }: Fields) {
  return {
    ...fields,
    networks: networks.split(/[\s,]+/).filter(Boolean),
    expires: expires ? new Date(expires).toISOString() : null,
  };
}

/** A time as the input of a local date and time shows it. */
function localTime(time: string): string {
  const date = new Date(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
