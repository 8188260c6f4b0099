import { createContext, use, useCallback, useMemo } from 'react';
import { type Params, useParams, useSearchParams } from 'react-router';

/** The parameter with the item that the panel beside a list shows. */
export const PANEL = 'panel';
/** The prefix of the parameters that belong to the content of the panel. */
const PANEL_PREFIX = 'p.';
const TAB = 'tab';
/** The parameters that choose the content of a page, and of the panel. Others are filters. */
export const CONTENT_OF_PAGE = [TAB];
export const CONTENT_OF_PANEL = [PANEL, PANEL_PREFIX + TAB];

type SetParams = (next: URLSearchParams, options: { replace: boolean }) => void;

interface InPanel {
  /** The parameters of the whole page. */
  params: URLSearchParams;
  setParams: SetParams;
  /** The ids in the path of the item. */
  item: Params;
}

/** Set for the content of the panel beside a list. */
export const PanelContext = createContext<InPanel | null>(null);

/** The ids in the path of this page, or of the item in this panel. */
export function useItem(): Params {
  const own = useParams();
  return use(PanelContext)?.item ?? own;
}

/** Whether this is the content of the panel beside a list. */
export function useIsInPanel(): boolean {
  return use(PanelContext) !== null;
}

/** The parameters of the address that belong to this page, or to this panel. */
export interface Address {
  get: (name: string) => string | null;
  all: () => [name: string, value: string][];
  /** Changes these parameters; an empty value removes one. */
  set: (changes: Record<string, string>) => void;
  /** Sets these parameters and removes all others. */
  setAll: (values: Record<string, string>) => void;
}

export function useAddress(): Address {
  const [ownParams, setOwnParams] = useSearchParams();
  const panel = use(PanelContext);
  const prefix = panel ? PANEL_PREFIX : '';
  const params = panel?.params ?? ownParams;
  const setParams = panel?.setParams ?? setOwnParams;
  return useMemo(
    () => ({
      get: (name) => params.get(prefix + name),
      all: () => ownOf(params, prefix),
      set: (changes) => setParams(changed(location.search, changes, prefix), { replace: true }),
      setAll: (values) => setParams(changed(without(location.search, prefix), values, prefix), { replace: true }),
    }),
    [params, setParams, prefix],
  );
}

export interface Panel {
  /** The path of the page in the panel; null = the panel shows no page. */
  path: string | null;
  /** The row in the panel, if its item has no page: its key, or `table:key` in a second table of a page. */
  row: string | null;
  open: (address: Pick<Location, 'pathname' | 'search'>) => void;
  close: () => void;
}

/** The panel beside the list of this page. */
export function usePanel(): Panel {
  const [params, setParams] = useSearchParams();
  const shown = params.get(PANEL);
  const open = useCallback(
    (next: Pick<Location, 'pathname' | 'search'>) => {
      const now = new URLSearchParams(location.search);
      const tab = now.get(PANEL_PREFIX + TAB) ?? '';
      const own = { [TAB]: tab, ...Object.fromEntries(new URLSearchParams(next.search)) }; // the next item has the same tab
      const address = changed(withoutPanel(location.search), { [PANEL]: next.pathname });
      setParams(changed(address, own, PANEL_PREFIX), { replace: now.has(PANEL) });
    },
    [setParams],
  );
  const close = useCallback(() => setParams(withoutPanel(location.search), { replace: true }), [setParams]);
  const isPath = shown?.startsWith('/');
  return { path: isPath ? shown : null, row: isPath || shown === '' ? null : shown, open, close };
}

/** An address with changed parameters. The address of the browser may be newer than that of the router. */
export function changed(
  search: string | URLSearchParams,
  changes: Record<string, string>,
  prefix = '',
): URLSearchParams {
  const after = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes))
    if (value) after.set(prefix + name, value);
    else after.delete(prefix + name);
  return after;
}

/** The parameters of the page, without those of the panel; or those of the panel, by their names without the prefix. */
function ownOf(params: URLSearchParams, prefix: string): [string, string][] {
  return prefix
    ? [...params].flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : []))
    : [...withoutPanel(params.toString())];
}

/** The parameters of the panel, as the query of the full page. */
export function panelSearch(params: URLSearchParams): string {
  const own = new URLSearchParams(ownOf(params, PANEL_PREFIX)).toString();
  return own && `?${own}`;
}

/** An address without the parameters of a panel, or without any. */
function without(search: string, prefix: string): URLSearchParams {
  return new URLSearchParams([...new URLSearchParams(search)].filter(([name]) => !name.startsWith(prefix)));
}

/** An address without the panel and its content. */
export function withoutPanel(search: string): URLSearchParams {
  const after = without(search, PANEL_PREFIX);
  after.delete(PANEL);
  return after;
}
