import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { CloseButton } from '@mantine/core';
import { useFullscreenDocument } from '@mantine/hooks';
import {
  IconClipboard,
  IconDeviceDesktopMinus,
  IconDeviceDesktopPlus,
  IconFiles,
  IconMaximize,
  IconMenu2,
  IconMinimize,
} from '@tabler/icons-react';
import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { useClock } from '../../components/clock';
import { showError, showWarning } from '../../components/feedback';
import { bitRate } from '../../components/format';
import { ClipboardPanel } from './ClipboardPanel';
import { type Panels, PanelsProvider, usePanelsOf } from './panels';
import { PictureRow } from './PictureTools';
import { isSoon, qualityOf, timeLeft } from './quality';
import styles from './SessionBar.module.css';
import { SoundPanel } from './SoundPanel';
import { MicrophoneSign, SoundRows } from './SoundTools';
import { ToolRow, ToolRows } from './ToolRow';
import type { FramePage } from './useFramePage';

/** The time for which the pill is fully visible after the desktop has opened. */
const SHOWN_MS = 6000;

interface Props {
  page: FramePage;
  /** The name of the session in the menu. */
  title: string;
  /** The time limit of the session; null = none. */
  limit: string | null;
  /** The rows of the menu for the session itself, such as leaving and stopping it. */
  children: ReactNode;
}

/** The pill of a session with its time, its quality and its menu. It is tucked away until the pointer or the keyboard reaches it. */
export function SessionBar({ page, title, limit, children }: Props) {
  const menu = useRef<HTMLButtonElement>(null);
  const sheetId = useId();
  const panels = usePanelsOf(page, menu);
  const { open: panel, toggle, close } = panels;
  const [fresh, setFresh] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setFresh(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, []);
  const isShown = fresh || panel === 'menu' || page.silentS !== null;
  return (
    <PanelsProvider value={panels}>
      <nav aria-label={t`Session tools`} className={styles.bar}>
        <div className={styles.pill} data-tucked={!isShown || undefined}>
          <TimeLeft limit={limit} />
          <Quality page={page} />
          {page.watches && (
            <span>
              <Trans>View only</Trans>
            </span>
          )}
          <button
            ref={menu}
            type="button"
            className={styles.menu}
            aria-expanded={panel === 'menu'}
            aria-controls={sheetId}
            aria-keyshortcuts={page.menuCalls === null ? undefined : 'Control+Alt+Shift'}
            onClick={() => toggle('menu')}
          >
            <IconMenu2 size={16} aria-hidden />
            <Trans>Menu</Trans>
          </button>
          {fresh && page.menuCalls !== null && (
            <kbd>
              <Trans>Ctrl+Alt+Shift</Trans>
            </kbd>
          )}
        </div>
        <Sheet id={sheetId} page={page} panels={panels} title={title}>
          {children}
        </Sheet>
      </nav>
      {page.sound && <MicrophoneSign sound={page.sound} />}
      {panel === 'clipboard' && <ClipboardPanel page={page} onClose={close} />}
      {panel === 'sound' && page.sound && <SoundPanel sound={page.sound} onClose={close} />}
    </PanelsProvider>
  );
}

interface SheetProps extends Pick<Props, 'page' | 'title' | 'children'> {
  id: string;
  panels: Panels;
}

/** All tools with their names. It stays mounted, so that notices of viewers appear also while it is closed. */
function Sheet({ id, page, panels: { open, toggle, close }, title, children }: SheetProps) {
  const { fullscreen, toggle: toggleFullscreen } = useFullscreenDocument();
  useKeyboardLock(fullscreen);
  return (
    <section id={id} aria-label={t`Session menu`} className={styles.sheet} hidden={open !== 'menu'}>
      <div className={styles.head}>
        <div className={styles.title}>
          <h2>{title}</h2>
          <Facts page={page} />
        </div>
        <CloseButton size="lg" aria-label={t`Close the menu`} onClick={close} />
      </div>
      <ToolRows label={t`Tools`}>
        {page.hasFiles && (
          <ToolRow name={t`Files`} hint={t`Upload and download`} icon={IconFiles} onClick={() => toggle('files')} />
        )}
        {!page.watches && (
          <ToolRow
            name={t`Clipboard`}
            hint={t`Copy text in and out`}
            icon={IconClipboard}
            onClick={() => toggle('clipboard')}
          />
        )}
        {page.sound && <SoundRows sound={page.sound} onPanel={() => toggle('sound')} />}
      </ToolRows>
      <ToolRows label={t`Screen`}>
        {page.picture && <PictureRow picture={page.picture} />}
        <ToolRow
          name={fullscreen ? t`Leave full screen` : t`Full screen`}
          icon={fullscreen ? IconMinimize : IconMaximize}
          onClick={() => {
            close();
            toggleFullscreen().catch((error: unknown) => showError(t`Full screen is not possible`, error));
          }}
        />
        {page.second && (
          <ToolRow
            name={page.second.isOpen ? t`Close the second screen` : t`Second screen`}
            hint={page.second.isOpen ? undefined : t`A second window for a second monitor`}
            icon={page.second.isOpen ? IconDeviceDesktopMinus : IconDeviceDesktopPlus}
            onClick={() => {
              close();
              page.second?.toggle();
            }}
          />
        )}
      </ToolRows>
      {children && <ToolRows label={t`Session`}>{children}</ToolRows>}
      {page.menuCalls !== null && (
        <p className={styles.keys}>
          <Trans>
            <kbd>Ctrl+Alt+Shift</kbd> leads from the desktop to this menu. <kbd>Esc</kbd> leads back.
          </Trans>
        </p>
      )}
    </section>
  );
}

/** The time until the time limit of the session. */
function TimeLeft({ limit }: { limit: string | null }) {
  const left = useClock((now) => timeLeft(limit, now));
  const soon = useClock((now) => (isSoon(limit, now) ? 1 : 0));
  if (left === undefined) return null;
  return (
    <span className={styles.left} data-soon={soon === 1 || undefined}>
      <Trans>{left} left</Trans>
    </span>
  );
}

/** The state of the stream as a dot. The words are shown if the stream is not good. */
function Quality({ page }: { page: FramePage }) {
  const { color, label } = qualityOf(page);
  return (
    <span className={styles.quality} data-tone={color} role="status" aria-label={label}>
      <span className={styles.dot} />
      {color === 'warning' && label}
    </span>
  );
}

/** The numbers of the stream. They change every second, so screen readers do not read them. */
function Facts({ page }: { page: FramePage }) {
  const { label } = qualityOf(page);
  const stats = page.picture?.stats;
  const latency = page.latencyMs === null ? '' : ` · ${Math.round(page.latencyMs)} ms`;
  const frames = stats?.frames_s ?? 0;
  return (
    <p className={styles.facts} aria-hidden>
      {label}
      {latency}
      {stats ? ` · ${bitRate(stats.kbit_s)} · ${t`${frames} fps`}` : ''}
    </p>
  );
}

const KEYS_STAY = [
  t`This browser does not forward some keys`,
  t`The browser does not pass keys such as Esc, Alt+Tab or Ctrl+W to a page, not even in full screen.`,
] as const;

/** In full screen, the session also gets the keys that the browser or the machine reserves, if the browser allows it. */
function useKeyboardLock(fullscreen: boolean): void {
  useEffect(() => {
    const { keyboard } = navigator as Navigator & {
      keyboard?: { lock?: () => Promise<void>; unlock?: () => void };
    };
    if (!fullscreen) return;
    if (!keyboard?.lock) {
      showWarning(...KEYS_STAY);
      return;
    }
    keyboard.lock().catch(() => showWarning(...KEYS_STAY));
    return () => keyboard.unlock?.();
  }, [fullscreen]);
}
