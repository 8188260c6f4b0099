/** The panels of the bar of a session. At most one is open. */

import { createContext, useCallback, useContext, useEffect, useState } from 'react';
import type { FramePage } from './useFramePage';

/** `files` is a panel of the page of the session; the others belong to the console. */
export type PanelName = 'clipboard' | 'files' | 'share' | 'sound';

export interface Panels {
  open: PanelName | null;
  toggle: (name: PanelName) => void;
  close: () => void;
}

const PanelsContext = createContext<Panels>({ open: null, toggle: () => undefined, close: () => undefined });
export const PanelsProvider = PanelsContext.Provider;

/** The panels, for tools of the bar. */
export function usePanels(): Panels {
  return useContext(PanelsContext);
}

/** The open panel. Opening one closes the others. Escape closes it, regardless of the focus in the console. */
export function usePanelsOf(page: Pick<FramePage, 'panel' | 'showPanel' | 'focus'>): Panels {
  const { panel, showPanel, focus } = page;
  const [own, setOwn] = useState<PanelName | null>(null);
  const open = panel === 'files' ? 'files' : own;
  useEffect(() => {
    if (panel === 'files') setOwn(null); // the page opens it during a long upload
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
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      close();
      if (open === 'files') focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [open, close, focus]);
  return { open, toggle, close };
}
