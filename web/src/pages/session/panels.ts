/** The panels over the desktop of a session. At most one is open. */

import {
  createContext,
  type RefObject,
  useCallback,
  useContext,
  useEffect,
  useEffectEvent,
  useRef,
  useState,
} from 'react';
import type { FramePage } from './useFramePage';

/** `menu` is the sheet with all tools. `files` is a panel of the page of the session; the others belong to the console. */
export type PanelName = 'menu' | 'clipboard' | 'files' | 'share' | 'sound';

export interface Panels {
  open: PanelName | null;
  toggle: (name: PanelName) => void;
  close: () => void;
}

const PanelsContext = createContext<Panels>({ open: null, toggle: () => undefined, close: () => undefined });
export const PanelsProvider = PanelsContext.Provider;

/** The panels, for tools of the menu. */
export function usePanels(): Panels {
  return useContext(PanelsContext);
}

/**
 * The open panel. Opening one closes the others. Escape closes it, regardless of the focus in the console, and the
 * opener gets the focus back: the button of the menu, or the desktop whose user has asked for the menu by its keys.
 */
export function usePanelsOf(
  page: Pick<FramePage, 'panel' | 'showPanel' | 'focus' | 'menuCalls'>,
  opener: RefObject<HTMLElement | null>,
): Panels {
  const { panel, showPanel, focus, menuCalls } = page;
  const [own, setOwn] = useState<PanelName | null>(null);
  const fromDesktop = useRef(false);
  const open = panel === 'files' ? 'files' : own;
  useEffect(() => {
    if (panel === 'files') setOwn(null); // the page opens it during a long upload
  }, [panel]);
  const hide = useCallback(() => {
    setOwn(null);
    if (panel !== null) showPanel(panel, false);
  }, [panel, showPanel]);
  const close = useCallback(() => {
    hide();
    if (fromDesktop.current) focus();
    else opener.current?.focus({ preventScroll: true });
  }, [hide, focus, opener]);
  const answerCall = useEffectEvent(() => {
    hide();
    setOwn('menu');
    fromDesktop.current = true;
    opener.current?.focus({ preventScroll: true });
  });
  useEffect(() => {
    if (menuCalls) answerCall();
  }, [menuCalls]);
  const toggle = (name: PanelName) => {
    const wasOpen = open === name;
    if (open === null) fromDesktop.current = false;
    if (wasOpen) {
      close();
      return;
    }
    hide();
    if (name === 'files') {
      focus();
      showPanel('files', true);
    } else setOwn(name);
  };
  useEffect(() => {
    if (open === null) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || isInDialog(event.target)) return;
      close();
    };
    window.addEventListener('keydown', onKey, true); // before an open list handles the key and closes
    return () => window.removeEventListener('keydown', onKey, true);
  }, [open, close]);
  useEffect(() => {
    if (own !== 'menu') return;
    // The user works in the desktop again.
    const onBlur = () => document.activeElement instanceof HTMLIFrameElement && setOwn(null);
    window.addEventListener('blur', onBlur);
    return () => window.removeEventListener('blur', onBlur);
  }, [own]);
  return { open, toggle, close };
}

/** Escape in a dialog or in an open list closes only that. */
function isInDialog(target: EventTarget | null): boolean {
  return (
    target instanceof Element && target.closest('[role=dialog], [aria-expanded=true][aria-haspopup=listbox]') !== null
  );
}
