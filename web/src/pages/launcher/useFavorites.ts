import { t } from '@lingui/core/macro';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { changeOwnAttributes } from '../../api/actions';
import { retryTemporary } from '../../api/client';
import { ownAttributesQuery } from '../../api/queries';
import type { Uuid } from '../../api/types';
import { showError } from '../../components/feedback';
import { toggled } from './sections';

const NONE: Uuid[] = [];

/** The favorite workspaces of the user. A change is shown immediately, and taken back if it is refused. */
export function useFavorites() {
  const queries = useQueryClient();
  const { data, isPending } = useQuery(ownAttributesQuery);
  const { queryKey } = ownAttributesQuery;
  const save = useMutation({
    mutationFn: (favorite_images: Uuid[]) => changeOwnAttributes({ favorite_images }),
    retry: retryTemporary,
    onMutate: (favorite_images) =>
      queries.setQueryData(queryKey, (before) => (before ? { ...before, favorite_images } : before)),
    onSuccess: (after) => queries.setQueryData(queryKey, after),
    onError: (error) => {
      showError(t`The favorites were not changed`, error);
      void queries.invalidateQueries({ queryKey });
    },
  });
  const favorites = data?.favorite_images ?? NONE;
  return { favorites, isPending, toggle: (imageId: Uuid) => save.mutate(toggled(favorites, imageId)) };
}
