import { useEffect, useRef } from 'react';
import { useAddress } from './address';

/** The parameter that asks for an action on the object of a page. */
const ACTION = 'do';

/**
 * Calls `ask` if the address of the page asks for an action, e.g. `?do=stop` after a choice in the search. The parameter
 * is then removed, so that a reload does not ask again.
 */
export function useAskedAction(ask: (action: string) => void): void {
  const address = useAddress();
  const action = address.get(ACTION);
  const latest = useRef(ask);
  useEffect(() => {
    latest.current = ask;
  });
  useEffect(() => {
    if (!action) return;
    latest.current(action);
    address.set({ [ACTION]: '' });
  }, [action, address]);
}
