import { useMutation, useQueryClient } from '@tanstack/react-query';
import { logOut } from '../api/auth';
import { showError } from '../components/feedback';

/** Logs out, and opens the log-in page, or the page that ends the log-in at the provider. */
export function useLogOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: logOut,
    onSuccess: (url) => {
      queries.clear();
      location.assign(url ?? '/');
    },
    onError: (error) => showError('Not logged out', error),
  });
}
