/** The panels of a session's bar: at most one is open, and one place decides which. */

import { createContext, useCallback, useContext, useEffect, useState } from 'react';
import type { FramePage } from './useFramePage';

/** `files` is a panel of the session's own page; the others are of the console. */
export type PanelName = 'clipboard' | 'files' | 'share' | 'sound';

export interface Panels {
  open: PanelName | null;
  toggle: (name: PanelName) => void;
  close: () => void;
}

const PanelsContext = createContext<Panels>({ open: null, toggle: () => undefined, close: () => undefined });
export const PanelsProvider = PanelsContext.Provider;

/** For tools of the bar that have a panel. */
export function usePanels(): Panels {
  return useContext(PanelsContext);
}

/** Which panel is open. Opening one closes the others; Escape closes it wherever the focus is in the console. */
export function usePanelsOf(page: Pick<FramePage, 'panel' | 'showPanel' | 'focus'>): Panels {
  const { panel, showPanel, focus } = page;
  const [own, setOwn] = useState<PanelName | null>(null);
  const open = panel === 'files' ? 'files' : own;
  useEffect(() => {
    if (panel === 'files') setOwn(null); // the page opens it by itself when an upload takes time
  }, [panel]);
  const close = useCallback(() => {
    setOwn(null);
    if (panel !== null) showPanel(panel, false);
  }, [panel, showPanel]);
  const toggle = (name: PanelName) => {
    const wasOpen = open === name;
    close();
    if (name === 'files') focus();
    if (wasOpen) return;
    if (name === 'files') showPanel('files', true);
    else setOwn(name);
  };
  useEffect(() => {
    if (open === null) return;
    const onKey = (event: KeyboardEvent) => event.key === 'Escape' && close();
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [open, close]);
  return { open, toggle, close };
}
