import { Alert } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import type { Program } from '../../api/control';
import { DesktopFrame } from './DesktopFrame';
import type { IdleRule } from './useOutOfSight';

interface Props {
  /** Address of the stream; null while it may not be opened anew (one that is open goes on). */
  frameUrl: string | null;
  /** Whether the page in the frame reports its state; one of another image says nothing and is left alone. */
  ownPage?: boolean;
  /** Why the session is not open any more; without it a general sentence. */
  closed?: string;
  /** What is not as it should be with the session as a whole. */
  note: string | null;
  /** That has leased the session; null = it is a person's alone. */
  program?: Program | null;
  idle: IdleRule;
  /** Buttons of the bar besides full screen and clipboard. */
  tools: ReactNode;
}

/**
 * The desktop of a session.
 *
 * The frame keeps the address it began with, since another one would load it again for nothing; it is loaded again
 * when it says nothing (the browser lost its connections, as it does when the network of its machine changes) and when
 * it was refused and there is a new address.
 */
export function Desktop({ frameUrl, ownPage = true, closed, note, program = null, idle, tools }: Props) {
  const [shown, setShown] = useState({ url: frameUrl, load: 0 });
  const latest = frameUrl ?? shown.url;
  if (!latest) return null;
  const url = shown.url ?? latest;
  return (
    <>
      <DesktopFrame
        key={`${url} ${shown.load}`}
        url={url}
        load={shown.load}
        ownPage={ownPage}
        closed={closed}
        onSilent={() => setShown({ url, load: shown.load + 1 })}
        onRefused={latest === url ? null : () => setShown({ url: latest, load: 0 })}
        onAgain={() => setShown({ url: latest, load: shown.load + 1 })}
        program={program}
        idle={idle}
        tools={tools}
      />
      {note && (
        <Alert className="stage-note" color="yellow" role="status">
          {note}
        </Alert>
      )}
    </>
  );
}
