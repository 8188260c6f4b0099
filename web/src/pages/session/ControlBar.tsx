import { Badge, Group, Indicator, Paper, Text, Tooltip } from '@mantine/core';
import { useFullscreenDocument } from '@mantine/hooks';
import {
  IconClipboard,
  IconDeviceDesktopMinus,
  IconDeviceDesktopPlus,
  IconFiles,
  IconMaximize,
  IconMinimize,
} from '@tabler/icons-react';
import { type ReactNode, useCallback, useEffect, useState } from 'react';
import { showError, showWarning } from '../../components/feedback';
import { ClipboardPanel } from './ClipboardPanel';
import { PanelsProvider, usePanelsOf } from './panels';
import { PictureStats, PictureTool } from './PictureTools';
import { qualityOf } from './quality';
import { SoundPanel } from './SoundPanel';
import { MicrophoneSign, SoundTools } from './SoundTools';
import { Tool } from './Tool';
import type { FramePage } from './useFramePage';
import type { SecondScreen } from './useSecondScreen';

/** The time for which the bar is fully visible after the desktop has opened. */
const SHOWN_MS = 6000;

interface Props {
  page: FramePage;
  /** The tools that the user may use. */
  children: ReactNode;
}

/** The bar with the tools of a session. It is hidden at the top edge until the pointer or the keyboard reaches it. */
export function ControlBar({ page, children }: Props) {
  const { fullscreen, toggle } = useFullscreenDocument();
  const panels = usePanelsOf(page);
  const { open: panel, toggle: togglePanel, close } = panels;
  const bar = useBarHeight();
  useKeyboardLock(fullscreen);
  const [fresh, setFresh] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setFresh(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, []);
  const isStalled = page.silentS !== null;
  // The files panel belongs to the frame below the bar, so the bar makes room for it.
  const isShown = panel === 'files' ? false : fresh || panel !== null || isStalled;
  return (
    <PanelsProvider value={panels}>
      <Paper
        ref={bar}
        component="nav"
        aria-label="Session tools"
        withBorder
        px="sm"
        py={6}
        shadow="md"
        className={`surface control-bar ${isShown ? '' : 'tucked'}`}
      >
        <Group gap={6} justify="center">
          {children}
          <Tool
            label={fullscreen ? 'Leave full screen' : 'Full screen'}
            icon={fullscreen ? IconMinimize : IconMaximize}
            onClick={() => void toggle().catch((error: unknown) => showError('Full screen is not possible', error))}
          />
          {page.second && <SecondScreenTool second={page.second} />}
          {page.watches ? (
            <Badge variant="light" color="gray" className="nowrap">
              View only
            </Badge>
          ) : (
            <Tool
              label="Clipboard"
              icon={IconClipboard}
              onClick={() => togglePanel('clipboard')}
              expanded={panel === 'clipboard'}
            />
          )}
          {page.hasFiles && (
            <Tool label="Files" icon={IconFiles} onClick={() => togglePanel('files')} expanded={panel === 'files'} />
          )}
          {page.sound && (
            <SoundTools sound={page.sound} panel={panel === 'sound'} onPanel={() => togglePanel('sound')} />
          )}
          {page.picture && <PictureTool picture={page.picture} />}
          <Quality page={page} />
          {page.picture?.stats && <PictureStats stats={page.picture.stats} />}
        </Group>
      </Paper>
      {page.sound && <MicrophoneSign sound={page.sound} />}
      {panel === 'clipboard' && <ClipboardPanel page={page} onClose={close} />}
      {panel === 'sound' && page.sound && <SoundPanel sound={page.sound} onClose={close} />}
    </PanelsProvider>
  );
}

/** Publishes the height of the bar to the panels below it, which is larger in a narrow window. */
function useBarHeight() {
  return useCallback((bar: HTMLElement | null) => {
    if (!bar) return;
    const observer = new ResizeObserver(() =>
      document.documentElement.style.setProperty('--control-bar', `${bar.offsetHeight}px`),
    );
    observer.observe(bar);
    return () => observer.disconnect();
  }, []);
}

/** Opens a second window for a second monitor. */
function SecondScreenTool({ second }: { second: SecondScreen }) {
  const { isOpen, toggle } = second;
  return (
    <Tool
      label={isOpen ? 'Close the second screen' : 'Second screen'}
      icon={isOpen ? IconDeviceDesktopMinus : IconDeviceDesktopPlus}
      onClick={toggle}
    />
  );
}

/** The state of the stream as a dot, with the measured delay next to it. */
function Quality({ page }: { page: FramePage }) {
  const { color, label } = qualityOf(page);
  return (
    <Tooltip label={label}>
      <Group gap={10} wrap="nowrap" px={6} role="status" aria-label={label}>
        <Indicator inline processing={color === 'warning'} color={color} size={10} position="middle-center">
          <span style={{ width: 10, height: 10, display: 'block' }} />
        </Indicator>
        {page.silentS !== null ? (
          <Text size="xs" className="number nowrap">
            {label}
          </Text>
        ) : (
          page.latencyMs !== null && (
            <Text size="xs" className="number nowrap">
              {Math.round(page.latencyMs)} ms
            </Text>
          )
        )}
      </Group>
    </Tooltip>
  );
}

const KEYS_STAY = [
  'This browser does not forward some keys',
  'The browser does not pass keys such as Esc, Alt+Tab or Ctrl+W to a page, not even in full screen.',
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
