import { Alert, Center, Loader, Stack, Text } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import { ControlBar } from './ControlBar';
import { type FrameState, useFramePage } from './useFramePage';

interface Props {
  sessionId: string;
  frameUrl: string;
  /** What is not as it should be with the session as a whole. */
  note: string | null;
}

/** How long a page that does not speak our protocol is given before it is shown as it is. */
const SILENT_PAGE_MS = 1500;

const WORDS: Partial<Record<FrameState, string>> = {
  silent: 'Opening the desktop',
  connecting: 'Connecting to the desktop',
  reconnecting: 'The connection was lost. Reconnecting',
  refused: 'The session is not open to you any more',
};

// What a session's page may ask the browser for; whether the session has it is decided by its permissions.
const FEATURES = 'clipboard-read; clipboard-write; fullscreen; microphone; camera; gamepad; autoplay; keyboard-map';

/** The desktop, filling the page, with our bar above it. */
export function Desktop({ sessionId, frameUrl, note }: Props) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [silent, setSilent] = useState(false);
  const [loaded, setLoaded] = useState(false);
  const page = useFramePage(frame, frameUrl, loaded);
  const { state, focus } = page;

  useEffect(() => {
    if (!loaded || state !== 'silent') return;
    const timer = setTimeout(() => setSilent(true), SILENT_PAGE_MS);
    return () => clearTimeout(timer);
  }, [loaded, state]);
  useEffect(() => {
    if (state === 'connected') focus();
  }, [state, focus]);

  const words = silent && state === 'silent' ? undefined : WORDS[state];
  return (
    <>
      <iframe
        ref={frame}
        src={frameUrl}
        title="Desktop"
        allow={FEATURES}
        onLoad={() => setLoaded(true)}
        data-state={state}
      />
      {words && <Veil words={words} covers={state === 'silent' || state === 'connecting'} />}
      <ControlBar sessionId={sessionId} page={page} />
      {note && (
        <Alert
          color="yellow"
          pos="absolute"
          bottom={16}
          left="50%"
          style={{ transform: 'translateX(-50%)', zIndex: 9 }}
          role="status"
        >
          {note}
        </Alert>
      )}
    </>
  );
}

/** Over the frame while there is nothing to see in it; half transparent once there was. */
function Veil({ words, covers }: { words: string; covers: boolean }) {
  return (
    <Center
      pos="absolute"
      inset={0}
      className={covers ? 'stage-backdrop' : ''}
      bg={covers ? undefined : 'rgb(11 22 19 / 70%)'}
    >
      <Stack align="center">
        <Loader color="teal.4" />
        <Text role="status" c="gray.2">
          {words}…
        </Text>
      </Stack>
    </Center>
  );
}
