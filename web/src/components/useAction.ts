import { useMutation, useQueryClient } from '@tanstack/react-query';
import { retryTemporary } from '../api/client';
import { showError } from './feedback';

/**
 * Something a row can do, and may do twice: `run`, then the lists named by `touched` are read again. A refusal is shown as "`refused`: why".
 */
export function useAction<Input, Done>(run: (input: Input) => Promise<Done>, touched: string[], refused: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: run,
    retry: retryTemporary,
    onError: (error) => showError(refused, error),
    onSettled: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
}
