/** The places to which a page with unsaved changes is left. */

import { CONTENT_OF_PAGE, CONTENT_OF_PANEL } from './address';

interface Address {
  pathname?: string;
  search?: string;
}

/**
 * Whether the form at the address `page` is not shown at the address `to`. Filters of a page are in its address, too. A
 * form in the panel beside a list is also left by another item in the panel.
 */
export function leaves(page: Address, to: Address, isInPanel: boolean): boolean {
  const names = isInPanel ? [...CONTENT_OF_PAGE, ...CONTENT_OF_PANEL] : CONTENT_OF_PAGE;
  const [before, after] = [new URLSearchParams(page.search), new URLSearchParams(to.search)];
  return (
    (to.pathname !== undefined && to.pathname !== page.pathname) ||
    names.some((name) => before.get(name) !== after.get(name))
  );
}

/** The part of the router that changes the address. */
export interface Navigator {
  push: (to: Address | string, ...rest: never[]) => void;
  replace: (to: Address | string, ...rest: never[]) => void;
}

/** Handles "Back" while a page has unsaved changes; null = there are none. */
let onBack: ((event: Event) => void) | null = null;

/**
 * Lets pages with unsaved changes ask before "Back" of the browser shows another page. Call it before the router starts:
 * Chromium calls the listeners of a window for this event in the order in which they were added.
 */
export function watchBack(): void {
  window.addEventListener('popstate', (event) => onBack?.(event), true);
}

/**
 * Asks before the form at the present address is left, until the returned function is called. `ask` gets the function
 * that leaves the form.
 *
 * Links and buttons change the address through the navigator of the router. "Back" of the browser changes it before the
 * page can ask, so the address is restored first.
 */
export function guardLeaving(navigator: Navigator, isInPanel: boolean, ask: (leave: () => void) => void): () => void {
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
      if (leaves(page, typeof to === 'string' ? new URL(to, location.href) : to, isInPanel)) ask(go);
      else go();
    };
  onBack = (event) => {
    if (state === 'leaving') return;
    if (state === 'restoring') {
      state = 'guarding';
      event.stopImmediatePropagation();
      return;
    }
    const steps = position() - last;
    if (!leaves(page, location, isInPanel) || steps === 0) {
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
  window.addEventListener('beforeunload', onUnload);
  return () => {
    navigator.push = push;
    navigator.replace = replace;
    onBack = null;
    window.removeEventListener('beforeunload', onUnload);
  };
}
