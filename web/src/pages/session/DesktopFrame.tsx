import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { type ReactNode, type RefObject, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import type { Program } from '../../api/control';
import { ProgramBar } from './ProgramBar';
import { SessionBar } from './SessionBar';
import { StageButtons, StageCard, StageCover } from './StageCard';
import { useAfter } from './useAfter';
import { type FrameState, useFramePage } from './useFramePage';
import { type IdleRule, useOutOfSight } from './useOutOfSight';
import { Veil } from './Veil';
import { Watermark } from './Watermark';

interface Props {
  url: string;
  /** Whether its page supports the protocol. */
  ownPage: boolean;
  /** The reason why the session is no longer open, if only another person can open it again. */
  closed: string | undefined;
  /** Called when the frame was refused; null if only a new request can help. */
  onRefused: (() => void) | null;
  /** Called when the user tries again after a refusal. */
  onAgain: () => void;
  /** The program of a leased session. */
  program: Program | null;
  idle: IdleRule;
  title: string;
  limit: string | null;
  tools: ReactNode;
  watermark: string | null;
  recorded: boolean;
}

/** A frame that is loaded and sends no messages is reloaded after this time, then after twice this time, … */
const LOAD_AGAIN_MS = 2500;
const LOADS = 3;

/** The texts of states. The page in the frame shows a reconnect itself. */
const WORDS: Partial<Record<FrameState, string>> = {
  silent: t`Opening the desktop`,
  connecting: t`Connecting to the desktop`,
};
const NOT_LOADED = t`The page of the session did not load. Check your network. The session is still running.`;
const REFUSED = t`You no longer have access to this session.`;

// The browser features that the page of a session may request. The permissions of the session decide about their use.
const FEATURES =
  'clipboard-read; clipboard-write; fullscreen; microphone; speaker-selection; camera; gamepad; autoplay; keyboard-map';

// A frame in full screen covers the watermark and the announcement of a recording. The bar of the console puts the whole page in full screen.
const WITHOUT_FULL_SCREEN = FEATURES.replace('fullscreen', "fullscreen 'none'");

/** The frame, which fills the page, with the bar of the console above it. */
export function DesktopFrame({
  url,
  ownPage,
  closed,
  onRefused,
  onAgain,
  program,
  idle,
  title,
  limit,
  tools,
  watermark,
  recorded,
}: Props) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [loaded, setLoaded] = useState(false);
  const [load, setLoad] = useState(0);
  const page = useFramePage(frame, url, loaded, watermark);
  const { state, reason, focus, received } = page;
  const used = useFocused(frame);
  const other = !ownPage && loaded && state === 'silent';
  const [outOfSight, comeBack] = useOutOfSight(other ? idle.afterS : 0);
  const loadsAgain = ownPage && loaded && !received && !used && !outOfSight && load < LOADS;
  const isSilent = useAfter(LOAD_AGAIN_MS * 2 ** load, loadsAgain);
  const isLost = useAfter(LOAD_AGAIN_MS, ownPage && loaded && !received && load >= LOADS);

  useEffect(() => {
    if (!isSilent) return;
    setLoaded(false);
    setLoad((loads) => loads + 1);
  }, [isSilent]);
  useEffect(() => {
    // A person who uses a panel during a reconnect stays there.
    if (state === 'connected' && [document.body, frame.current].includes(document.activeElement as HTMLElement))
      focus();
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
          key={load} // only the frame is loaded again: an open menu stays
          ref={frame}
          src={url}
          title={t`Desktop`}
          allow={watermark === null && !recorded ? FEATURES : WITHOUT_FULL_SCREEN}
          className={program ? 'above-bar' : undefined}
          onLoad={() => setLoaded(true)}
          data-state={state}
        />
      )}
      {watermark !== null && <Watermark text={watermark} />}
      {isLost && <Refused reason={NOT_LOADED} covers onAgain={onAgain} />}
      <Veil words={isLost ? null : (words ?? null)} />
      {state === 'refused' && (
        <Refused
          reason={closed ?? reason ?? REFUSED}
          covers={reason !== null}
          onAgain={closed === undefined ? onAgain : null}
        />
      )}
      <SessionBar page={page} title={title} limit={limit}>
        {tools}
      </SessionBar>
      {program && !other && <ProgramBar page={page} program={program} />}
    </>
  );
}

/** The notice that the viewer was disconnected, for pages that do not show it themselves. */
function Left({ onReturn }: { onReturn: () => void }) {
  return (
    <StageCover hides>
      <StageCard
        title={t`You were disconnected`}
        reason={t`This window was hidden for some time. The session is still running.`}
      >
        <Button onClick={onReturn}>
          <Trans>Continue</Trans>
        </Button>
      </StageCard>
    </StageCover>
  );
}

/** Whether the frame has had the focus. After that it is not reloaded, because the user may work in it. */
function useFocused(frame: RefObject<HTMLIFrameElement | null>): boolean {
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    const look = () => document.activeElement === frame.current && setFocused(true);
    window.addEventListener('blur', look);
    return () => window.removeEventListener('blur', look);
  }, [frame]);
  return focused;
}

interface RefusedProps {
  reason: string;
  covers: boolean;
  /** null if that cannot help. */
  onAgain: (() => void) | null;
}

/** The reason why the desktop is not shown. It stays until the user acts. */
function Refused({ reason, covers, onAgain }: RefusedProps) {
  return (
    <StageCover hides={covers}>
      <StageCard title={t`The desktop cannot be shown`} reason={reason}>
        <StageButtons>
          {onAgain && (
            <Button onClick={onAgain}>
              <Trans>Try again</Trans>
            </Button>
          )}
          <Button component={Link} to="/" variant={onAgain ? 'default' : 'filled'}>
            <Trans>Back to the workspaces</Trans>
          </Button>
        </StageButtons>
      </StageCard>
    </StageCover>
  );
}
