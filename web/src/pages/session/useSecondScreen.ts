/** A second window with a separate part of the desktop (docs/reference/session-page.md). It is opened here, and the page of the session fills it. */

import { t } from '@lingui/core/macro';
import { useCallback, useEffect, useRef, useState } from 'react';
import { showWarning } from '../../components/feedback';

/** The messages between the two windows of the console, in the same origin. */
export interface SecondScreenMessage {
  greenroomScreen: 'ready' | { url: string; port: MessagePort; watermark: string | null };
}

export interface SecondScreen {
  isOpen: boolean;
  /** Opens or closes the window. */
  toggle: () => void;
}

export interface ScreensMessage {
  type: string;
  count?: number;
}

const LOOK_MS = 500;
const ADDRESS = '/second-screen';

/** `say` sends a message to the page of the session at `url`; `receive` handles the messages of the page. */
export function useSecondScreen(
  say: (message: object, transfer?: Transferable[]) => void,
  url: string,
  watermark: string | null,
) {
  const [count, setCount] = useState(0);
  const other = useRef<Window | null>(null);

  const receive = useCallback(({ type, count: reported }: ScreensMessage) => {
    if (type !== 'screens' || typeof reported !== 'number') return;
    setCount(reported);
  }, []);

  const close = useCallback(() => {
    other.current?.close();
    other.current = null;
    say({ type: 'screen', port: null });
  }, [say]);

  useEffect(() => {
    const greeted = ({ data, origin, source }: MessageEvent<Partial<SecondScreenMessage> | null>) => {
      if (origin !== location.origin || source !== other.current || data?.greenroomScreen !== 'ready') return;
      const { port1, port2 } = new MessageChannel();
      say({ type: 'screen', port: port1 }, [port1]);
      const message: SecondScreenMessage = { greenroomScreen: { url: secondOf(url), port: port2, watermark } };
      other.current?.postMessage(message, location.origin, [port2]);
    };
    window.addEventListener('message', greeted);
    // There is no event for a closed window.
    const timer = setInterval(() => other.current?.closed && close(), LOOK_MS);
    const leave = () => other.current?.close();
    window.addEventListener('pagehide', leave);
    return () => {
      window.removeEventListener('message', greeted);
      window.removeEventListener('pagehide', leave);
      clearInterval(timer);
    };
  }, [say, url, watermark, close]);
  useEffect(() => () => other.current?.close(), []);

  const isOpen = count > 1;
  const toggle = useCallback(() => {
    if (isOpen) {
      close();
      return;
    }
    const opened = window.open(ADDRESS, '_blank', `popup,width=${window.innerWidth},height=${window.innerHeight}`);
    if (opened === null) {
      showWarning(
        t`No second screen`,
        t`The browser blocked the window. Allow pop-up windows for this site and try again.`,
      );
      return;
    }
    other.current = opened;
  }, [isOpen, close]);

  return { second: count > 0 ? { isOpen, toggle } : null, receive };
}

/** The address of the page of the second screen. */
function secondOf(url: string): string {
  const own = new URL(url, location.href);
  const second = new URL('second.html', own);
  second.search = own.search;
  return second.href;
}
