/** The messages between the console and the page in the frame (docs/reference/session-page.md). */

import { i18n } from '@lingui/core';
import { useComputedColorScheme } from '@mantine/core';
import { type RefObject, useCallback, useEffect, useState } from 'react';
import { serverText } from '../../serverTexts';
import { noteRates, noteRoundTrip } from './pageReport';
import { type Picture, type PictureMessage, usePicture } from './usePicture';
import { type ScreensMessage, type SecondScreen, useSecondScreen } from './useSecondScreen';
import { type Sound, useSound } from './useSound';

/**
 * `silent` = the page has not answered the greeting: it is loading, or it does not support the protocol; `idle` = it was
 * disconnected without input, shows this itself and continues at the next key.
 */
export type FrameState = 'silent' | 'connecting' | 'connected' | 'reconnecting' | 'refused' | 'idle';

interface FrameMessage extends PictureMessage, ScreensMessage {
  greenroom: number;
  state?: FrameState;
  reason?: string;
  text?: string;
  ms?: number;
  silent_s?: number;
  uploads?: boolean;
  downloads?: boolean;
  name?: string;
  open?: boolean;
  access?: 'view' | 'control';
  out?: boolean;
  in?: boolean;
  pressed?: boolean;
  holder?: Control['holder'];
  term?: number;
}

/** The holder of control of a leased session; `name` is the name of a user. */
export interface Control {
  holder: 'program' | 'you' | 'person';
  term: number;
  name: string;
}

/** The directions in which the clipboard of a session is allowed. */
export interface ClipboardWays {
  out: boolean;
  in: boolean;
}

export interface FramePage {
  state: FrameState;
  /** The reason of a refusal from the gateway, in the language of the console; null if there is none. */
  reason: string | null;
  /** Whether the page has sent any message, in any protocol. */
  received: boolean;
  /** Whether the viewer may only watch, as decided by the server. */
  watches: boolean;
  /** The holder of control of a leased session; null until it is known. */
  control: Control | null;
  /** The text that was last copied in the session. */
  clipboard: string | null;
  /** The allowed directions of the clipboard; null until they are known. */
  clipboardWays: ClipboardWays | null;
  /** The seconds without an answer of an open stream; null while it answers. */
  silentS: number | null;
  /** The round trip to the desktop in milliseconds, measured by the page. */
  latencyMs: number | null;
  /** The shown picture; null if the page does not report it. */
  picture: Picture | null;
  /** A second window with a separate part of the desktop; null if it is not possible. */
  second: SecondScreen | null;
  /** The sound and the microphone; null if the page does not report them. */
  sound: Sound | null;
  /** Whether uploads or downloads are possible. */
  hasFiles: boolean;
  /** The name of the panel that the page shows over the desktop; null = none. */
  panel: string | null;
  /** How often the user has asked for the menu with the keys for it; null if the page does not know these keys. */
  menuCalls: number | null;
  /** Shows or closes a panel of the page. */
  showPanel: (name: string, open: boolean) => void;
  /** Sends text to the clipboard of the session. */
  sendClipboard: (text: string) => void;
  /** Moves the focus to the desktop. */
  focus: () => void;
}

const PROTOCOL = 1;
const GREETING_MS = 200;
const GREETINGS = 50;

/**
 * Exchanges messages with the page at `url` in `frame`. Messages of other windows or origins are ignored.
 *
 * The page sends no messages before the greeting, and may start to listen some time after the frame has `loaded`.
 */
export function useFramePage(
  frame: RefObject<HTMLIFrameElement | null>,
  url: string,
  loaded: boolean,
  watermark: string | null,
): FramePage {
  const [state, setState] = useState<FrameState>('silent');
  const [reason, setReason] = useState<string | null>(null);
  const [received, setReceived] = useState(false);
  const [clipboard, setClipboard] = useState<string | null>(null);
  const [clipboardWays, setClipboardWays] = useState<ClipboardWays | null>(null);
  const [latencyMs, setLatencyMs] = useState<number | null>(null);
  const [silentS, setSilentS] = useState<number | null>(null);
  const [hasFiles, setHasFiles] = useState(false);
  const [watches, setWatches] = useState(false);
  const [control, setControl] = useState<Control | null>(null);
  const [panel, setPanel] = useState<string | null>(null);
  const [menuCalls, setMenuCalls] = useState<number | null>(null);
  const theme = useComputedColorScheme('light');
  const { origin } = new URL(url, location.href);

  const say = useCallback(
    (message: object, transfer: Transferable[] = []) =>
      frame.current?.contentWindow?.postMessage({ greenroom: PROTOCOL, ...message }, origin, transfer),
    [frame, origin],
  );
  const { picture, receive: receivePicture } = usePicture(say);
  const { sound, receive: receiveSound } = useSound(say);
  const { second, receive: receiveScreens } = useSecondScreen(say, url, watermark);

  useEffect(() => {
    const receive = ({ data, origin: from, source }: MessageEvent<FrameMessage | null>) => {
      if (from !== origin || source !== frame.current?.contentWindow) return;
      setReceived(true);
      if (data?.greenroom !== PROTOCOL) return;
      if (data.type === 'state' && data.state) {
        setState(data.state);
        setReason(typeof data.reason === 'string' ? serverText(data.reason) : null);
      }
      if (data.type === 'clipboard' && typeof data.text === 'string') setClipboard(data.text);
      if (data.type === 'clipboard-ways') setClipboardWays({ out: data.out === true, in: data.in === true });
      if (data.type === 'access') setWatches(data.access === 'view');
      if (data.type === 'control' && data.holder)
        setControl({ holder: data.holder, term: data.term ?? 0, name: data.name ?? '' });
      if (data.type === 'files') setHasFiles(data.uploads === true || data.downloads === true);
      if (data.type === 'panel' && data.name) setPanel(data.open ? data.name : null);
      if (data.type === 'menu') setMenuCalls((calls) => (calls ?? 0) + (data.pressed ? 1 : 0));
      receivePicture(data);
      receiveSound(data);
      receiveScreens(data);
      if (data.type === 'silence' && typeof data.silent_s === 'number') setSilentS(data.silent_s || null);
      if (data.type === 'latency' && typeof data.ms === 'number') setLatencyMs(data.ms);
    };
    window.addEventListener('message', receive);
    return () => window.removeEventListener('message', receive);
  }, [frame, origin, receivePicture, receiveScreens, receiveSound]);

  const stats = picture?.stats ?? null;
  const shownLatencyMs = stats?.latency_ms ?? latencyMs;
  useEffect(() => noteRoundTrip(shownLatencyMs), [shownLatencyMs]);
  useEffect(() => () => noteRoundTrip(null), []);
  useEffect(() => {
    noteRates(stats, Date.now());
    return () => noteRates(null, 0);
  }, [stats]);

  const sendClipboard = useCallback((text: string) => say({ type: 'clipboard', text }), [say]);
  const showPanel = useCallback((name: string, open: boolean) => say({ type: 'panel', name, open }), [say]);
  const focus = useCallback(() => {
    frame.current?.focus();
    say({ type: 'focus' });
  }, [frame, say]);

  const silent = state === 'silent';
  useEffect(() => {
    if (!loaded || !silent) return;
    let left = GREETINGS;
    const greet = () => {
      say({ type: 'hello', theme, language: i18n.locale });
      left -= 1;
      if (left === 0) clearInterval(timer);
    };
    const timer = setInterval(greet, GREETING_MS);
    greet();
    return () => clearInterval(timer);
  }, [loaded, silent, say, theme]);
  return {
    state,
    reason,
    received,
    watches,
    control,
    clipboard,
    clipboardWays,
    silentS: state === 'connected' ? silentS : null,
    latencyMs: shownLatencyMs,
    picture,
    second: watches || control ? null : second,
    sound,
    hasFiles,
    panel,
    menuCalls,
    showPanel,
    sendClipboard,
    focus,
  };
}
