/** Texts of the test of a provider, and the values of its form. */

import type { Provider, Rule } from '../../../api/signOn';

const TITLES: Record<string, string> = {
  host: 'Find the host',
  connection: 'Connect',
  certificate: 'Check the certificate',
  document: 'Read the document',
  program: 'Find the program xmlsec1',
  metadata: 'Check the XML',
  provider: 'Check the identity provider',
  endpoints: 'Check the issuer and the endpoints',
  keys: 'Read the public keys',
  authorization: 'Request a log-in',
  client: 'Check the client secret',
};

/** The title of a step of the test. */
export function stepTitle(step: string): string {
  return TITLES[step] ?? step;
}

/** The fields of a user that claims can fill, with the claim that is used without a setting. */
export const ATTRIBUTES = {
  username: { label: 'Username', claim: 'preferred_username' },
  first_name: { label: 'First name', claim: 'given_name' },
  last_name: { label: 'Last name', claim: 'family_name' },
  phone: { label: 'Phone', claim: '' },
  organization: { label: 'Organization', claim: '' },
} as const;

export type Attribute = keyof typeof ATTRIBUTES;

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
    attributes: { ...Object.fromEntries(Object.keys(ATTRIBUTES).map((field) => [field, ''])), ...provider?.attributes },
    rules: provider?.rules ?? [],
    check_s: provider?.check_s ?? 0,
    check_grace_s: provider?.check_grace_s ?? 3600,
  };
}

export type ProviderValues = ReturnType<typeof valuesOf>;
