/** Second factors: the second step of a log-in, the factors of the user, and those of other users. */

import { t } from '@lingui/core/macro';
import { queryOptions } from '@tanstack/react-query';
import { ApiError, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Factor = Schemas['FactorView'];
export type FactorCreated = Schemas['FactorCreated'];
export type SecondFactorNeeded = Schemas['SecondFactorNeeded'];
export type SecondFactor = Schemas['SecondFactorBody'];
export type OwnFactors = Schemas['FactorsView'];

export const ownFactorsQuery = queryOptions({
  queryKey: ['me', 'second-factors'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/me/second-factors', { signal })),
  refetchInterval: false,
});

export function userFactorsQuery(userId: Uuid) {
  const params = { path: { user_id: userId } };
  return queryOptions({
    queryKey: ['users', userId, 'second-factors'],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/users/{user_id}/second-factors', { params, signal })),
  });
}

export function completeLogIn(body: SecondFactor): Promise<unknown> {
  return dataOf(client.POST('/api/v1/login/second-factor', { body }));
}

/** Completes the log-in with a passkey, which the browser asks the user for. */
export async function completeLogInWithPasskey(): Promise<unknown> {
  const { options } = await dataOf(client.POST('/api/v1/login/second-factor/passkey'));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(
    options as unknown as PublicKeyCredentialRequestOptionsJSON,
  );
  return completeLogIn({ passkey: await answerOf(navigator.credentials.get({ publicKey })) });
}

export function confirmPassword(password: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/me/confirmation', { body: { password } }));
}

export function beginApp(): Promise<Schemas['TotpStart']> {
  return dataOf(client.POST('/api/v1/me/second-factors/totp/start'));
}

export function addApp(name: string, code: string): Promise<FactorCreated> {
  return dataOf(client.POST('/api/v1/me/second-factors/totp', { body: { name, code } }));
}

/** Creates a passkey in the browser or a security key, and adds it. */
export async function addPasskey(name: string): Promise<FactorCreated> {
  const { options } = await dataOf(client.POST('/api/v1/me/second-factors/passkey/start'));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(
    options as unknown as PublicKeyCredentialCreationOptionsJSON,
  );
  const credential = await answerOf(navigator.credentials.create({ publicKey }));
  return dataOf(client.POST('/api/v1/me/second-factors/passkey', { body: { name, credential } }));
}

export function removeFactor(factorId: Uuid): Promise<unknown> {
  return deletionOf(
    client.DELETE('/api/v1/me/second-factors/{factor_id}', { params: { path: { factor_id: factorId } } }),
  );
}

export async function newRecoveryCodes(): Promise<string[]> {
  return (await dataOf(client.POST('/api/v1/me/recovery-codes'))).recovery_codes;
}

export function resetFactors(userId: Uuid): Promise<unknown> {
  return dataOf(client.DELETE('/api/v1/users/{user_id}/second-factors', { params: { path: { user_id: userId } } }));
}

/** Whether the browser and the address support passkeys. */
export function supportsPasskeys(): boolean {
  return 'PublicKeyCredential' in window && 'parseCreationOptionsFromJSON' in PublicKeyCredential;
}

/** The answer of the browser as JSON. Throws ApiError if the user canceled, or there is no passkey. */
async function answerOf(asked: Promise<Credential | null>): Promise<Record<string, never>> {
  try {
    const credential = (await asked) as PublicKeyCredential;
    return credential.toJSON() as Record<string, never>;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'InvalidStateError')
      throw new ApiError(0, 'passkey-exists', t`This authenticator already has a passkey of your account.`);
    throw new ApiError(0, 'passkey-canceled', t`The browser used no passkey. Try again, or use another second factor.`);
  }
}
