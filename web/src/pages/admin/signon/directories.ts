/** The values of the form of a directory, and the usual values of two kinds of directories. */

import { t } from '@lingui/core/macro';
import type { Directory } from '../../../api/directories';
import { attributesOf, sentAttributes, sentRules } from './steps';

/** The usual values of a kind of directory. */
export const KINDS = {
  openldap: {
    title: t`OpenLDAP or 389 Directory Server`,
    values: {
      user_filter: '(objectClass=inetOrgPerson)',
      login_attributes: ['uid'],
      id_attribute: 'entryUUID',
      group_filter: '(objectClass=groupOfNames)',
      membership: 'member' as const,
    },
  },
  active: {
    title: 'Active Directory',
    values: {
      user_filter: '(&(objectCategory=person)(objectClass=user))',
      login_attributes: ['sAMAccountName', 'userPrincipalName'],
      id_attribute: 'objectGUID',
      group_filter: '(objectClass=group)',
      membership: 'chain' as const,
    },
  },
};

/** The initial values of the form; null = a new directory. */
export function valuesOf(directory: Directory | null) {
  return {
    name: directory?.name ?? '',
    title: directory?.title ?? '',
    servers: directory?.servers ?? [],
    tls: directory?.tls ?? ('ldaps' as const),
    ca_pem: directory?.ca_pem ?? '',
    bind_dn: directory?.bind_dn ?? '',
    password: '',
    user_base: directory?.user_base ?? '',
    user_filter: directory?.user_filter ?? KINDS.openldap.values.user_filter,
    login_attributes: directory?.login_attributes ?? KINDS.openldap.values.login_attributes,
    id_attribute: directory?.id_attribute ?? KINDS.openldap.values.id_attribute,
    attributes: attributesOf(directory?.attributes),
    group_base: directory?.group_base ?? '',
    group_filter: directory?.group_filter ?? KINDS.openldap.values.group_filter,
    membership: directory?.membership ?? KINDS.openldap.values.membership,
    rules: directory?.rules ?? [],
    create_users: directory?.create_users ?? false,
    rule_required: directory?.rule_required ?? false,
    sync_s: directory?.sync_s ?? 3600,
    grace_s: directory?.grace_s ?? 0,
  };
}

export type DirectoryValues = ReturnType<typeof valuesOf>;

/** The values in a request. An empty password is none. */
export function sent(values: DirectoryValues) {
  const { attributes, rules, password } = values;
  return {
    ...values,
    password: password || null,
    attributes: sentAttributes(attributes),
    rules: sentRules(rules),
  };
}
