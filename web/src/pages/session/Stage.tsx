import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import { useBranding } from '../../api/branding';
import type { Program } from '../../api/control';
import type { Connection } from '../../api/types';
import { useClock } from '../../components/clock';
import { Screenshot } from '../../components/Screenshot';
import { Connecting } from './Connecting';
import { Desktop } from './Desktop';
import { isSoon, timeLeft } from './quality';
import { type IdleRule, NEVER_IDLE } from './useOutOfSight';
import { Recorded } from './Recorded';
import { SessionBar } from './SessionBar';
import { StageButtons, StageCard } from './StageCard';
import { useAfter } from './useAfter';
import { useFramePage } from './useFramePage';
import { Veil } from './Veil';
import { Watched } from './Watched';

/** The statuses of a session that can no longer be opened. */
export const OVER = new Set(['failed', 'deleting', 'deleted']);

/** The statuses of a start on demand, which shows its steps. A staged session is opened so fast that steps would only flash. */
const STARTS = new Set(['requested', 'starting']);
const STEPS_AFTER_MS = 700;

interface Props {
  connection: Connection | undefined;
  error: unknown;
  /** The program that has leased the session; null = not leased. */
  program?: Program | null;
  /** The time limit of the session. */
  limit?: string | null;
  idle?: IdleRule;
  /** The name of the session in its menu. */
  title?: string | undefined;
  /** The rows of the menu for the session itself. */
  tools?: ReactNode;
}

/** The progress of the start of a session, then its desktop. */
export function Stage({ connection, error, program = null, limit = null, idle = NEVER_IDLE, title, tools }: Props) {
  const url = connection?.frame_url ?? null;
  const [opened, setOpened] = useState(false);
  if (url && !opened) setOpened(true);
  const ending = useEnding(limit);
  const isSlow = useAfter(STEPS_AFTER_MS, !opened);
  const showsSteps = isSlow || error != null || STARTS.has(connection?.status ?? '');
  return (
    <StageFrame title={title}>
      {opened && connection?.simulated ? (
        <Simulated connection={connection} title={title} limit={limit} tools={tools} />
      ) : opened && connection ? (
        <>
          <Desktop
            frameUrl={url}
            ownPage={connection.own_page}
            note={noteOf(connection) ?? ending}
            program={program}
            idle={idle}
            title={title}
            limit={limit}
            tools={tools}
            watermark={connection.watermark}
            recorded={connection.recorded}
          />
          <Watched at={connection.last_screenshot_at} />
        </>
      ) : showsSteps ? (
        <Connecting connection={connection ?? null} error={error} />
      ) : (
        <Veil words={t`Opening the desktop`} />
      )}
      {connection?.recorded && <Recorded />}
    </StageFrame>
  );
}

/** A session of a host without containers, as in the demo: its picture in place of its desktop, and its menu. */
function Simulated({
  connection,
  title = t`Session`,
  limit = null,
  tools,
}: Omit<Props, 'error' | 'connection'> & { connection: Connection }) {
  const frame = useRef<HTMLIFrameElement>(null); // there is no frame, so the menu has no tools of a page
  const page = useFramePage(frame, '', false, null);
  return (
    <>
      <StageCard
        title={t`This desktop is simulated`}
        reason={t`The hosts of this installation run no containers. This picture is all there is of the session.`}
      >
        <Screenshot sessionId={connection.session_id} alt={t`The simulated desktop`} width={960} renewAfter={10} />
        <StageButtons>
          <Button component={Link} to="/">
            <Trans>To the workspaces</Trans>
          </Button>
        </StageButtons>
      </StageCard>
      <SessionBar page={page} title={title} limit={limit}>
        {tools}
      </SessionBar>
    </>
  );
}

/** The dark page around all messages about a session. */
export function StageFrame({ title = t`Session`, children }: { title?: string | undefined; children: ReactNode }) {
  const { name } = useBranding();
  useEffect(() => {
    document.title = `${title} · ${name}`;
  }, [title, name]);
  return (
    <main aria-label={t`Session`} className="stage stage-backdrop">
      {children}
    </main>
  );
}

/** The notice above a desktop that is not in the status running. */
function noteOf(connection: Connection): string | null {
  return connection.status === 'running' ? null : connection.operational_message;
}

/** The notice that the session ends soon, so that its user can save. */
function useEnding(limit: string | null): string | null {
  const left = useClock((now) => (isSoon(limit, now) ? timeLeft(limit, now) : undefined));
  return left === undefined ? null : t`This session ends in ${left}. Save your work.`;
}
