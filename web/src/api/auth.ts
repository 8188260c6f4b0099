import { queryOptions } from '@tanstack/react-query';
import { createContext, use } from 'react';
import { ApiError, client, dataOf, isLoggedOut } from './client';
import type { SecondFactorNeeded } from './secondFactors';
import type { Me } from './types';

/** The logged-in user; null = none. */
export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: async ({ signal }): Promise<Me | null> => {
    try {
      return await dataOf(client.GET('/api/v1/me', { signal }));
    } catch (error) {
      if (isLoggedOut(error)) return null;
      throw error;
    }
  },
  staleTime: 60_000,
  refetchInterval: false,
});

/** Logs in with the password. Returns the second factors that complete the log-in; null = it is complete. */
export async function logIn(username: string, password: string): Promise<SecondFactorNeeded | null> {
  const answer = await dataOf(client.POST('/api/v1/login', { body: { username, password } }));
  return 'methods' in answer ? answer : null;
}

/** Logs in once with the token of a link that a program requested for the user. */
export function logInByLink(token: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/login/link', { body: { token } }));
}

/**
 * Ends the log-in. Returns the address that ends it at the provider, too; null = none.
 *
 * Without the package greenroom-identity, the first operation does not exist.
 */
export async function logOut(): Promise<string | null> {
  try {
    return (await dataOf(client.POST('/api/v1/sign-on/logout'))).url;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
    await dataOf(client.POST('/api/v1/logout'));
    return null;
  }
}

export function changePassword(password: string, new_password: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/me/password', { body: { password, new_password } }));
}

/**
 * Whether the user has the permission, at least in the scope of a role; `global_admin` includes all. Only for the
 * presentation: the api checks permissions and scopes.
 */
export function allows(me: Me | null | undefined, permission: string): boolean {
  return allowsEverywhere(me, permission) || !!me?.scoped_permissions.includes(permission);
}

/** Whether the user has the permission for the whole installation. */
export function allowsEverywhere(me: Me | null | undefined, permission: string): boolean {
  return !!me && (me.permissions.includes('global_admin') || me.permissions.includes(permission));
}

/** The logged-in user for all components below the log-in, so that rows of tables do not subscribe to the query. */
export const MeContext = createContext<Me | null>(null);

export function useMe(): Me | null {
  return use(MeContext);
}

/** `allowsEverywhere` for the logged-in user: for requests in which codes in a scope do not count. */
export function useAllowedEverywhere(): (permission: string) => boolean {
  const me = useMe();
  return (permission) => allowsEverywhere(me, permission);
}

/** `allows` for the logged-in user. */
export function useAllowed(): (permission: string) => boolean {
  const me = useMe();
  return (permission) => allows(me, permission);
}
