import { t } from '@lingui/core/macro';
import { type QueryClient, useMutation, useQueryClient } from '@tanstack/react-query';
import { changeOwnAttributes } from '../api/actions';
import { retryTemporary } from '../api/client';
import { ownAttributesQuery, type Preference, withPreference } from '../api/ownAttributes';
import { showError } from './feedback';

/** Stores a choice about the console with the user, so that it applies on all machines. It is shown immediately. */
export function useOwnPreference(): (change: Preference) => void {
  return useMutation(preferenceOptions(useQueryClient())).mutate;
}

/** The request that stores a choice. Requests run one after the other; a refused choice is shown no longer. */
export function preferenceOptions(queries: QueryClient) {
  const { queryKey } = ownAttributesQuery;
  return {
    mutationKey: queryKey,
    scope: { id: queryKey.join() },
    mutationFn: changeOwnAttributes,
    retry: retryTemporary,
    onMutate: (change: Preference) => {
      queries.setQueryData(queryKey, (before) => before && withPreference(before, change));
    },
    onError: (error: Error) => showError(t`The choice was not saved`, error),
    onSettled: () => void queries.invalidateQueries({ queryKey }),
  };
}
