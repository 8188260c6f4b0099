import { queryOptions } from '@tanstack/react-query';
import { createContext, use } from 'react';
import { client, dataOf, isLoggedOut } from './client';
import type { Me } from './types';

/** Who is logged in; null = no user. */
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

export function logIn(username: string, password: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/login', { body: { username, password } }));
}

/** Log in once with the token of a link that a program got for the person. */
export function logInByLink(token: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/login/link', { body: { token } }));
}

export function logOut(): Promise<unknown> {
  return dataOf(client.POST('/api/v1/logout'));
}

export function changePassword(password: string, new_password: string): Promise<unknown> {
  return dataOf(client.POST('/api/v1/me/password', { body: { password, new_password } }));
}

/** Whether the person has the permission; `global_admin` includes all. Presentation only: the api decides. */
export function allows(me: Me | null | undefined, permission: string): boolean {
  return !!me && (me.permissions.includes('global_admin') || me.permissions.includes(permission));
}

/** Who is logged in, below the log-in: asked for once, and not by each row of a table. */
export const MeContext = createContext<Me | null>(null);

export function useMe(): Me | null {
  return use(MeContext);
}

/** `allows` for the person who is logged in. */
export function useAllowed(): (permission: string) => boolean {
  const me = useMe();
  return (permission) => allows(me, permission);
}
