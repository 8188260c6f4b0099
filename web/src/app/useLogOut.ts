import { t } from '@lingui/core/macro';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { logOut } from '../api/auth';
import { showError } from '../components/feedback';
import { forgetRecent } from './palette/recent';

/** Logs out, and opens the log-in page, or the page that ends the log-in at the provider. */
export function useLogOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: logOut,
    onSuccess: (url) => {
      queries.clear();
      forgetRecent();
      location.assign(url ?? '/');
    },
    onError: (error) => showError(t`Not logged out`, error),
  });
}
