import { queryOptions } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas } from './types';

type Attributes = Schemas['AttributesView'];
/** Choices of the user about the console. */
export type Preference = Partial<Pick<Attributes, 'favorite_images' | 'theme' | 'density' | 'times' | 'lists'>>;

/** The attributes after a change of choices. A list that is not in the change keeps its choices. */
export function withPreference(before: Attributes, change: Preference): Attributes {
  return { ...before, ...change, lists: { ...before.lists, ...change.lists } };
}

/** The attributes of the user, with the choices that are not stored yet: an answer may be older than those. */
export const ownAttributesQuery = queryOptions({
  queryKey: ['me', 'attributes'],
  queryFn: async ({ client: queries, queryKey, signal }) => {
    const stored = await dataOf(client.GET('/api/v1/me/attributes', { signal }));
    const waiting = queries.getMutationCache().findAll({ mutationKey: queryKey, status: 'pending' });
    return waiting.map(({ state }) => state.variables as Preference).reduce(withPreference, stored);
  },
  refetchInterval: false,
});
