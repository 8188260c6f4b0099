import { type ReactNode, useEffect, useState } from 'react';
import type { Program } from '../../api/control';
import type { Connection } from '../../api/types';
import { shortDuration, useClock } from '../../components/clock';
import { Connecting } from './Connecting';
import { Desktop } from './Desktop';
import { type IdleRule, NEVER_IDLE } from './useOutOfSight';
import { Recorded } from './Recorded';
import { Watched } from './Watched';

/** The statuses of a session that can no longer be opened. */
export const OVER = new Set(['failed', 'deleting', 'deleted']);

/** The time of the notice before the end of a session, in seconds. */
const ANNOUNCE_S = 900;

interface Props {
  connection: Connection | undefined;
  error: unknown;
  /** The program that has leased the session; null = not leased. */
  program?: Program | null;
  /** The time limit of the session. */
  limit?: string | null;
  idle?: IdleRule;
  /** The buttons of the bar in addition to full screen and clipboard. */
  tools?: ReactNode;
}

/** The progress of the start of a session, then its desktop. */
export function Stage({ connection, error, program = null, limit = null, idle = NEVER_IDLE, tools }: Props) {
  const url = connection?.frame_url ?? null;
  const [opened, setOpened] = useState(false);
  if (url && !opened) setOpened(true);
  const ending = useEnding(limit);
  useTitle();
  return (
    <StageFrame>
      {opened && connection ? (
        <>
          <Desktop
            frameUrl={url}
            ownPage={connection.own_page}
            note={noteOf(connection) ?? ending}
            program={program}
            idle={idle}
            tools={tools}
            watermark={connection.watermark}
            recorded={connection.recorded}
          />
          <Watched at={connection.last_screenshot_at} />
        </>
      ) : (
        <Connecting connection={connection ?? null} error={error} />
      )}
      {connection?.recorded && <Recorded />}
    </StageFrame>
  );
}

/** The dark page around all messages about a session. */
export function StageFrame({ children }: { children: ReactNode }) {
  useTitle();
  return (
    <main aria-label="Session" className="stage stage-backdrop">
      {children}
    </main>
  );
}

function useTitle(): void {
  useEffect(() => {
    document.title = 'Session · Greenroom';
  }, []);
}

/** The notice above a desktop that is not in the status running. */
function noteOf(connection: Connection): string | null {
  return connection.status === 'running' ? null : connection.operational_message;
}

/** The notice that the session ends soon, so that its user can save. */
function useEnding(limit: string | null): string | null {
  const left = useClock((now) => {
    const seconds = limit ? (Date.parse(limit) - now) / 1000 : Infinity;
    return seconds > ANNOUNCE_S ? undefined : shortDuration(seconds);
  });
  return left === undefined ? null : `This session ends in ${left}. Save your work.`;
}
