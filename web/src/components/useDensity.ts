import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { ownAttributesQuery } from '../api/ownAttributes';

export const DENSITIES = ['compact', 'standard', 'comfortable'] as const;
export type Density = (typeof DENSITIES)[number];

/** The height of rows that the user chose. */
export function useDensity(): Density {
  return useQuery(ownAttributesQuery).data?.density ?? 'standard';
}

/** Gives all tables the height of rows that the user chose (tokens.css). */
export function useChosenDensity(): void {
  const density = useDensity();
  useEffect(() => {
    document.documentElement.dataset.density = density;
  }, [density]);
}
