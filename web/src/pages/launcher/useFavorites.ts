import { useQuery } from '@tanstack/react-query';
import { ownAttributesQuery } from '../../api/ownAttributes';
import type { Uuid } from '../../api/types';
import { useOwnPreference } from '../../components/useOwnPreference';
import { toggled } from './sections';

const NONE: Uuid[] = [];

/** The favorite workspaces of the user. A change is shown immediately, and taken back if it is refused. */
export function useFavorites() {
  const { data, isPending } = useQuery(ownAttributesQuery);
  const keep = useOwnPreference();
  const favorites = data?.favorite_images ?? NONE;
  return { favorites, isPending, toggle: (imageId: Uuid) => keep({ favorite_images: toggled(favorites, imageId) }) };
}
