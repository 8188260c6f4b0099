import { t } from '@lingui/core/macro';
import { Alert } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import type { Program } from '../../api/control';
import { DesktopFrame } from './DesktopFrame';
import type { IdleRule } from './useOutOfSight';

interface Props {
  /** The address of the stream; null while no new stream may be opened (an open one continues). */
  frameUrl: string | null;
  /** Whether the page in the frame reports its state. The page of another image does not, and is not reloaded. */
  ownPage?: boolean;
  /** The reason if the session is no longer open and only another person can open it again. Without it, a general sentence is shown. */
  closed?: string;
  /** A problem of the whole session. */
  note: string | null;
  /** The program that has leased the session; null = not leased. */
  program?: Program | null;
  idle: IdleRule;
  /** The name of the session in its menu. */
  title?: string | undefined;
  /** The time limit of the session; null = none. */
  limit?: string | null;
  /** The rows of the menu for the session itself. */
  tools: ReactNode;
  /** The text over the desktop; null = none. */
  watermark: string | null;
  /** Whether the session is recorded. */
  recorded: boolean;
}

/**
 * The desktop of a session.
 *
 * The frame keeps its first address, because another one would reload it without need. It is reloaded if it sends no
 * messages (the browser lost its connections, e.g. after a change of network), and if it was refused and there is a new
 * address.
 */
export function Desktop({
  frameUrl,
  ownPage = true,
  closed,
  note,
  program = null,
  idle,
  title = t`Session`,
  limit = null,
  tools,
  watermark,
  recorded,
}: Props) {
  const [shown, setShown] = useState({ url: frameUrl, load: 0 });
  const latest = frameUrl ?? shown.url;
  if (!latest) return null;
  const url = shown.url ?? latest;
  return (
    <>
      <DesktopFrame
        key={`${url} ${shown.load}`}
        url={url}
        ownPage={ownPage}
        closed={closed}
        onRefused={latest === url ? null : () => setShown({ url: latest, load: 0 })}
        onAgain={() => setShown({ url: latest, load: shown.load + 1 })}
        program={program}
        idle={idle}
        title={title}
        limit={limit}
        tools={tools}
        watermark={watermark}
        recorded={recorded}
      />
      {note && (
        <Alert className="stage-note" color="yellow" role="status">
          {note}
        </Alert>
      )}
    </>
  );
}
