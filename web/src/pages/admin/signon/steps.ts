/** Texts of the tests of providers and directories, and the values of the form of a provider. */

import { t } from '@lingui/core/macro';
import type { Provider, Rule } from '../../../api/signOn';

const TITLES: Record<string, string> = {
  host: t`Find the host`,
  connection: t`Connect`,
  certificate: t`Check the certificate`,
  document: t`Read the document`,
  program: t`Find the program`,
  metadata: t`Check the XML`,
  provider: t`Check the identity provider`,
  endpoints: t`Check the issuer and the endpoints`,
  keys: t`Read the public keys`,
  authorization: t`Request a log-in`,
  client: t`Check the client secret`,
  tls: t`Check the certificate`,
  bind: t`Log in to the directory`,
  base: t`Find the entries of users and groups`,
  filter: t`Find users`,
  user: t`Read a user`,
};

/** The title of a step of the test. */
export function stepTitle(step: string): string {
  return TITLES[step] ?? step;
}

/** The fields of a user that claims or attributes can fill, with their labels. */
export const ATTRIBUTES = {
  username: t`Username`,
  first_name: t`First name`,
  last_name: t`Last name`,
  phone: t`Phone`,
  organization: t`Organization`,
} as const;

export type Attribute = keyof typeof ATTRIBUTES;

/** The titles of the fields that consist of several inputs. */
export const TITLES_OF_GROUPS = { rules: t`Rules`, attributes: t`Fields of a user` };

/** The claims of OpenID Connect that are used without a setting. */
export const OIDC_CLAIMS: Partial<Record<Attribute, string>> = {
  username: 'preferred_username',
  first_name: 'given_name',
  last_name: 'family_name',
};

/** The values of the fields of attributes, all of which exist. */
export function attributesOf(attributes: Record<string, string> = {}): Record<string, string> {
  return { ...Object.fromEntries(Object.keys(ATTRIBUTES).map((field) => [field, ''])), ...attributes };
}

/** The attributes of a request: those with a claim. */
export function sentAttributes(attributes: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attributes)
      .map(([field, claim]) => [field, claim.trim()] as const)
      .filter(([, claim]) => claim),
  );
}

/** The complete rules. */
export function sentRules(rules: Rule[]): Rule[] {
  return rules.filter(({ claim, value, group_id }) => claim.trim() && value.trim() && group_id);
}

/** The initial values of the form; null = a new provider. */
export function valuesOf(provider: Provider | null) {
  return {
    name: provider?.name ?? '',
    protocol: provider?.protocol ?? ('oidc' as const),
    title: provider?.title ?? '',
    issuer: provider?.issuer ?? '',
    client_id: provider?.client_id ?? '',
    client_secret: '',
    client_auth: provider?.client_auth ?? ('client_secret_basic' as const),
    scopes: provider?.scopes ?? 'openid profile email',
    metadata_url: provider?.metadata_url ?? '',
    metadata_xml: provider?.metadata_xml ?? '',
    subject_attribute: provider?.subject_attribute ?? '',
    create_users: provider?.create_users ?? false,
    rule_required: provider?.rule_required ?? false,
    attributes: attributesOf(provider?.attributes),
    rules: provider?.rules ?? [],
    check_s: provider?.check_s ?? 0,
    check_grace_s: provider?.check_grace_s ?? 3600,
  };
}

export type ProviderValues = ReturnType<typeof valuesOf>;
