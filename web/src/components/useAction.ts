import { useMutation, useQueryClient } from '@tanstack/react-query';
import { showError } from './feedback';

/**
 * Something a row can do: `run`, then the lists named by `touched` are read again. A refusal is shown as "`refused`: why".
 */
export function useAction<Input>(run: (input: Input) => Promise<unknown>, touched: string[], refused: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: run,
    onError: (error) => showError(refused, error),
    onSettled: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
}
