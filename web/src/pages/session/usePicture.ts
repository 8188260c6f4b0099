/** The picture of a session, light or video, and its costs (docs/reference/session-page.md). */

import { useCallback, useEffect, useState } from 'react';
import { keepText, keptText } from '../../kept';

/** The picture of noVNC, or H.264 for moving pictures. */
export type PictureKind = 'light' | 'video';

export interface Stats {
  kbit_s: number;
  frames_s: number;
  latency_ms: number | null;
}

export interface Picture {
  shown: PictureKind;
  wanted: PictureKind;
  stats: Stats | null;
  /** Switches to the other picture; null if the session or the browser has no other one. The browser stores the choice. */
  switch: (() => void) | null;
}

export interface PictureMessage extends Partial<Stats> {
  type: string;
  kind?: PictureKind;
  wanted?: PictureKind;
  kinds?: PictureKind[];
}

const CHOICE = 'greenroom-picture';

/** `say` sends a message to the page of the session; `receive` handles the messages of the page. */
export function usePicture(say: (message: object) => void) {
  const [reported, setReported] = useState<Required<Pick<PictureMessage, 'kind' | 'wanted' | 'kinds'>> | null>(null);
  const [stats, setStats] = useState<Stats | null>(null);

  const receive = useCallback((message: PictureMessage) => {
    const { type, kind, wanted, kinds, kbit_s, frames_s, latency_ms } = message;
    if (type === 'stream' && kind && wanted && Array.isArray(kinds)) setReported({ kind, wanted, kinds });
    if (type === 'stats' && typeof kbit_s === 'number' && typeof frames_s === 'number')
      setStats({ kbit_s, frames_s, latency_ms: typeof latency_ms === 'number' ? latency_ms : null });
  }, []);

  const has = reported?.kinds.includes('video') ?? false;
  useEffect(() => {
    const kind = remembered();
    if (has && kind !== null) say({ type: 'stream', kind });
  }, [has, say]);

  const other: PictureKind = reported?.wanted === 'video' ? 'light' : 'video';
  const change = useCallback(() => {
    keepText(CHOICE, other);
    say({ type: 'stream', kind: other });
  }, [say, other]);

  const picture: Picture | null = reported && {
    shown: reported.kind,
    wanted: reported.wanted,
    stats,
    switch: has ? change : null,
  };
  return { picture, receive };
}

function remembered(): PictureKind | null {
  const kind = keptText(CHOICE);
  return kind === 'light' || kind === 'video' ? kind : null;
}
