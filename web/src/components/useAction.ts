import { useMutation, useQueryClient } from '@tanstack/react-query';
import { retryTemporary } from '../api/client';
import { showError } from './feedback';

/**
 * An action that may be repeated: `run`, after which the lists in `touched` are read again. A refusal is shown with the
 * title `refused` and its reason. Actions with the same `scope` run one after the other.
 */
export function useAction<Input, Done>(
  run: (input: Input) => Promise<Done>,
  touched: string[],
  refused: string,
  scope?: string,
) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: run,
    ...(scope && { scope: { id: scope } }),
    retry: retryTemporary,
    onError: (error) => showError(refused, error),
    onSettled: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
}
