import { useEffect } from 'react';
import { useSearchParams } from 'react-router';
import { withParam } from './tableState';

/** Opens the dialog for a new item if the address has the parameter `create`, and removes the parameter. */
export function useCreateParam(mayCreate: boolean, open: () => void): void {
  const [params, setParams] = useSearchParams();
  const isAsked = mayCreate && params.has('create');
  useEffect(() => {
    if (!isAsked) return;
    open();
    setParams(withParam('create', ''), { replace: true });
  }, [isAsked, open, setParams]);
}
