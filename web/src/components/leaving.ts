/** The places to which a page with unsaved changes is left. */

interface Address {
  pathname?: string;
  search?: string;
}

/** Whether the address `to` is another page or another tab. Filters of a page are in its address, too. */
export function leaves(page: Address, to: Address): boolean {
  const tab = ({ search }: Address) => new URLSearchParams(search).get('tab');
  return (to.pathname !== undefined && to.pathname !== page.pathname) || tab(to) !== tab(page);
}

/** The part of the router that changes the address. */
export interface Navigator {
  push: (to: Address | string, ...rest: never[]) => void;
  replace: (to: Address | string, ...rest: never[]) => void;
}

/**
 * Asks before the page is left, until the returned function is called. `ask` gets the function that leaves the page.
 *
 * Links and buttons change the address through the navigator of the router. "Back" of the browser changes it before the
 * page can ask, so the address is restored first.
 */
export function guardLeaving(navigator: Navigator, ask: (leave: () => void) => void): () => void {
  const page = { pathname: location.pathname, search: location.search };
  const { push, replace } = navigator;
  const position = () => (history.state as { idx?: number } | null)?.idx ?? 0;
  let last = position();
  let state: 'guarding' | 'restoring' | 'leaving' = 'guarding';
  const guarded =
    (change: Navigator['push']): Navigator['push'] =>
    (to, ...rest) => {
      const go = () => {
        change.call(navigator, to, ...rest);
        last = position();
      };
      if (leaves(page, typeof to === 'string' ? new URL(to, location.href) : to)) ask(go);
      else go();
    };
  const onBack = (event: Event) => {
    if (state === 'leaving') return;
    if (state === 'restoring') {
      state = 'guarding';
      event.stopImmediatePropagation();
      return;
    }
    const steps = position() - last;
    if (!leaves(page, location) || steps === 0) {
      last = position();
      return;
    }
    event.stopImmediatePropagation(); // before the router shows the other page
    state = 'restoring';
    history.go(-steps);
    ask(() => {
      state = 'leaving';
      history.go(steps);
    });
  };
  const onUnload = (event: Event) => event.preventDefault();
  navigator.push = guarded(push);
  navigator.replace = guarded(replace);
  window.addEventListener('popstate', onBack, true);
  window.addEventListener('beforeunload', onUnload);
  return () => {
    navigator.push = push;
    navigator.replace = replace;
    window.removeEventListener('popstate', onBack, true);
    window.removeEventListener('beforeunload', onUnload);
  };
}
