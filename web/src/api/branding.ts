/** The name, logo, notice and support link of the installation, which the console shows before a log-in, too. */

import { queryOptions, useQuery } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas } from './types';

type Branding = Schemas['BrandingView'];

const LOGO = '/api/v1/branding/logo';
const NONE: Branding = { name: '', notice: '', support_url: '', logo_url: null };

const brandingQuery = queryOptions({
  queryKey: ['branding'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/branding', { signal })),
  staleTime: 60_000,
  refetchInterval: false,
});

/** The branding. Until it is loaded, and without a name, the name is Greenroom. */
export function useBranding(): Branding {
  const branding = useQuery(brandingQuery).data ?? NONE;
  return { ...branding, name: branding.name || 'Greenroom' };
}

export function uploadLogo(file: File) {
  return dataOf(client.PUT(LOGO, { body: '', bodySerializer: () => file }));
}

export function removeLogo() {
  return dataOf(client.DELETE(LOGO));
}
