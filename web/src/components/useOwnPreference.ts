import { t } from '@lingui/core/macro';
import { useQueryClient } from '@tanstack/react-query';
import { changeOwnAttributes } from '../api/actions';
import { ownAttributesQuery } from '../api/queries';
import { useAction } from './useAction';

/** Stores a choice about the console with the user, so that it applies on all machines. */
export function useOwnPreference(): (change: Parameters<typeof changeOwnAttributes>[0]) => void {
  const queries = useQueryClient();
  const keep = useAction(changeOwnAttributes, [], t`The choice was not saved`, 'own attributes');
  return (change) =>
    keep.mutate(change, {
      onSuccess: (saved) => queries.setQueryData(ownAttributesQuery.queryKey, saved),
      onError: () => void queries.invalidateQueries({ queryKey: ownAttributesQuery.queryKey }),
    });
}
