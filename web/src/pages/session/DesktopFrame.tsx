import { Button, Center, Loader, Stack, Text } from '@mantine/core';
import { type ReactNode, type RefObject, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import type { Program } from '../../api/control';
import { ControlBar } from './ControlBar';
import { ProgramBar } from './ProgramBar';
import { StageCard } from './StageCard';
import { type FrameState, useFramePage } from './useFramePage';
import { type IdleRule, useOutOfSight } from './useOutOfSight';

interface Props {
  url: string;
  /** How often the frame has been loaded again. */
  load: number;
  /** Whether its page has our protocol. */
  ownPage: boolean;
  /** Why it is not open any more, where that is known. */
  closed: string | undefined;
  /** Called when it has loaded and says nothing. */
  onSilent: () => void;
  /** Called when it was refused; null when there is nothing to be done about it but to ask anew. */
  onRefused: (() => void) | null;
  /** Called when the person, who was refused, wants to try again. */
  onAgain: () => void;
  /** Of a leased session. */
  program: Program | null;
  idle: IdleRule;
  tools: ReactNode;
}

/** A frame that says nothing is loaded again after this, then after twice that, … */
const LOAD_AGAIN_MS = 2500;
const LOADS = 3;

/** The page in the frame says by itself that it reconnects. */
const WORDS: Partial<Record<FrameState, string>> = {
  silent: 'Opening the desktop',
  connecting: 'Connecting to the desktop',
};
const NOT_LOADED = 'The page of the session did not load. Check your network. The session is still running.';
const REFUSED = 'You no longer have access to this session.';

// What a session's page may ask the browser for; whether the session has it is decided by its permissions.
const FEATURES =
  'clipboard-read; clipboard-write; fullscreen; microphone; speaker-selection; camera; gamepad; autoplay; keyboard-map';

/** The frame, filling the page, with our bar above it. */
export function DesktopFrame({
  url,
  load,
  ownPage,
  closed = REFUSED,
  onSilent,
  onRefused,
  onAgain,
  program,
  idle,
  tools,
}: Props) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [loaded, setLoaded] = useState(false);
  const page = useFramePage(frame, url, loaded);
  const { state, reason, focus, received } = page;
  const used = useFocused(frame);
  const other = !ownPage && loaded && state === 'silent';
  const [outOfSight, comeBack] = useOutOfSight(other ? idle.afterS : 0);
  const loadsAgain = ownPage && loaded && !received && !used && !outOfSight && load < LOADS;
  const isSilent = useAfter(LOAD_AGAIN_MS * 2 ** load, loadsAgain);
  const isLost = useAfter(LOAD_AGAIN_MS, ownPage && loaded && !received && load >= LOADS);

  useEffect(() => {
    if (isSilent) onSilent();
  }, [isSilent, onSilent]);
  useEffect(() => {
    if (state === 'connected') focus();
    if (state === 'refused') onRefused?.();
  }, [state, focus, onRefused]);

  const isIdle = outOfSight || state === 'idle';
  const { onChange } = idle;
  useEffect(() => onChange(isIdle), [onChange, isIdle]);

  const goOn = () => {
    setLoaded(false);
    comeBack();
  };
  const words = other ? undefined : WORDS[state];
  return (
    <>
      {outOfSight ? (
        <Left onReturn={goOn} />
      ) : (
        <iframe
          ref={frame}
          src={url}
          title="Desktop"
          allow={FEATURES}
          className={program ? 'above-bar' : undefined}
          onLoad={() => setLoaded(true)}
          data-state={state}
        />
      )}
      {isLost && <Refused reason={NOT_LOADED} covers onAgain={onAgain} />}
      {words && !isLost && <Veil words={words} />}
      {state === 'refused' && <Refused reason={reason ?? closed} covers={reason !== null} onAgain={onAgain} />}
      <ControlBar page={page}>{tools}</ControlBar>
      {program && !other && <ProgramBar page={page} program={program} />}
    </>
  );
}

/** The notice that the viewer was disconnected, for pages that do not show it themselves. */
function Left({ onReturn }: { onReturn: () => void }) {
  return (
    <Cover covers>
      <Text role="status" c="gray.2">
        You were disconnected because this window was hidden for some time. The session is still running.
      </Text>
      <Button onClick={onReturn}>Go on</Button>
    </Cover>
  );
}

/** Whether the condition has held for so long. */
function useAfter(milliseconds: number, condition: boolean): boolean {
  const [passed, setPassed] = useState(false);
  useEffect(() => {
    setPassed(false);
    if (!condition) return;
    const timer = setTimeout(() => setPassed(true), milliseconds);
    return () => clearTimeout(timer);
  }, [condition, milliseconds]);
  return passed;
}

/** Whether the person has gone into the frame: from then on it is not loaded again under their hands. */
function useFocused(frame: RefObject<HTMLIFrameElement | null>): boolean {
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    const look = () => document.activeElement === frame.current && setFocused(true);
    window.addEventListener('blur', look);
    return () => window.removeEventListener('blur', look);
  }, [frame]);
  return focused;
}

/** Over the frame while there is nothing to see in it, or the browser's own page of an address that did not load. */
function Veil({ words }: { words: string }) {
  return (
    <Cover covers>
      <Loader color="teal.4" />
      <Text role="status" c="gray.2">
        {words}…
      </Text>
    </Cover>
  );
}

interface RefusedProps {
  reason: string;
  covers: boolean;
  onAgain: () => void;
}

/** The desktop is not shown, and why; it stays until the user acts. */
function Refused({ reason, covers, onAgain }: RefusedProps) {
  return (
    <Cover covers={covers}>
      <StageCard title="The desktop cannot be shown" reason={reason}>
        <Stack gap="xs">
          <Button onClick={onAgain}>Try again</Button>
          <Button component={Link} to="/" variant="default">
            Back to the workspaces
          </Button>
        </Stack>
      </StageCard>
    </Cover>
  );
}

function Cover({ covers, children }: { covers: boolean; children: ReactNode }) {
  return (
    <Center
      pos="absolute"
      inset={0}
      className={covers ? 'stage-backdrop' : ''}
      bg={covers ? undefined : 'rgb(11 22 19 / 80%)'}
    >
      <Stack align="center">{children}</Stack>
    </Center>
  );
}
