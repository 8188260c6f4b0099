/** The previews of forms: what the values of a form would do. Nothing is changed. */

import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas } from './types';

const TYPING_MS = 300;

/** The answer for values that are typed, a moment after the last change. Null = the values are not complete. */
function usePreview<Values, Answer>(
  name: string,
  values: Values | null,
  ask: (values: Values, signal: AbortSignal) => Promise<Answer>,
): Answer | undefined {
  const [asked] = useDebouncedValue(JSON.stringify(values), TYPING_MS);
  const isComplete = values !== null && asked !== 'null';
  const { data, isError } = useQuery({
    queryKey: ['preview', name, asked],
    queryFn: ({ signal }) => ask(JSON.parse(asked) as Values, signal),
    enabled: isComplete,
    placeholderData: keepPreviousData,
    refetchInterval: false,
    retry: false,
  });
  return isComplete && !isError ? data : undefined;
}

/** The room for sessions of a workspace, and the users who could launch it. */
export function useImagePreview(values: Schemas['ImagePreviewRequest'] | null) {
  return usePreview('image', values, (body, signal) => dataOf(client.POST('/api/v1/images/preview', { body, signal })));
}

/** The room for more sessions of a staging config, and the users who would match it. */
export function useStagingPreview(values: Schemas['StagingPreviewRequest'] | null) {
  return usePreview('staging', values, (body, signal) =>
    dataOf(client.POST('/api/v1/staging-configs/preview', { body, signal })),
  );
}
