/** Sound and microphone of a session's page (docs/reference/session-page.md), and what this browser chose of both. */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';

/** A device as the browser names it; the label is empty until the microphone was allowed. */
export interface Device {
  id: string;
  label: string;
}

/** `reason`: why it is not allowed; `waits`: the browser plays nothing before a click or a key. */
export interface Audio {
  allowed: boolean;
  reason: string | null;
  on: boolean;
  waits: boolean;
  connected: boolean;
  volume: number;
  muted: boolean;
  device: string;
}

/** `problem`: why it is off against the user's wish. */
export interface Microphone {
  allowed: boolean;
  reason: string | null;
  on: boolean;
  connected: boolean;
  problem: string | null;
  device: string;
}

/** RMS, from 0 to 1. */
export interface Levels {
  audio: number;
  microphone: number;
}

export interface Sound {
  audio: Audio;
  microphone: Microphone;
  inputs: Device[];
  outputs: Device[];
  levels: LevelStore;
  changeAudio: (change: Partial<Pick<Audio, 'on' | 'volume' | 'muted' | 'device'>>) => void;
  changeMicrophone: (change: Partial<Pick<Microphone, 'on' | 'device'>>) => void;
}

/** What this browser keeps. That the microphone was on is not: it is switched on each time. */
interface Choice {
  on: boolean;
  volume: number;
  muted: boolean;
  speaker: string;
  microphone: string;
}

const CHOICE = 'greenroom-sound';
const FIRST: Choice = { on: false, volume: 1, muted: false, speaker: '', microphone: '' };

/** Levels change ten times a second; only the meters are drawn anew. */
export class LevelStore {
  private now: Levels = { audio: 0, microphone: 0 };
  private readonly meters = new Set<() => void>();

  readonly get = (): Levels => this.now;
  readonly subscribe = (meter: () => void) => {
    this.meters.add(meter);
    return () => this.meters.delete(meter);
  };

  set(levels: Levels): void {
    this.now = levels;
    for (const meter of this.meters) meter();
  }
}

export function useLevels(store: LevelStore): Levels {
  return useSyncExternalStore(store.subscribe, store.get);
}

/** `say` sends a message to the session's page; `receive` takes those that come from it. */
export function useSound(say: (message: object) => void) {
  const [audio, setAudio] = useState<Audio | null>(null);
  const [microphone, setMicrophone] = useState<Microphone | null>(null);
  const [devices, setDevices] = useState<{ inputs: Device[]; outputs: Device[] }>({ inputs: [], outputs: [] });
  const levels = useMemo(() => new LevelStore(), []);
  const choice = useRef(remembered());

  const receive = useCallback(
    (message: { type: string }) => {
      if (message.type === 'audio') setAudio(message as unknown as Audio);
      if (message.type === 'microphone') setMicrophone(message as unknown as Microphone);
      if (message.type === 'devices') setDevices(message as unknown as { inputs: Device[]; outputs: Device[] });
      if (message.type === 'levels') levels.set(message as unknown as Levels);
    },
    [levels],
  );

  const keep = useCallback((change: Partial<Choice>) => {
    choice.current = { ...choice.current, ...change };
    remember(choice.current);
  }, []);

  const mayListen = audio?.allowed ?? false;
  useEffect(() => {
    const { on, volume, muted, speaker } = choice.current;
    if (mayListen) say({ type: 'audio', on, volume, muted, device: speaker });
  }, [mayListen, say]);

  const changeAudio = useCallback<Sound['changeAudio']>(
    ({ device, ...change }) => {
      keep({ ...change, ...(device !== undefined && { speaker: device }) });
      say({ type: 'audio', ...change, ...(device !== undefined && { device }) });
    },
    [keep, say],
  );
  const changeMicrophone = useCallback<Sound['changeMicrophone']>(
    (change) => {
      if (change.device !== undefined) keep({ microphone: change.device });
      say({ type: 'microphone', device: choice.current.microphone, ...change });
    },
    [keep, say],
  );

  const sound: Sound | null = audio &&
    microphone && { audio, microphone, ...devices, levels, changeAudio, changeMicrophone };
  return { sound, receive };
}

function remembered(): Choice {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(CHOICE) ?? '{}');
    return { ...FIRST, ...(kept as Partial<Choice>) };
  } catch {
    return FIRST; // this browser keeps nothing for pages
  }
}

function remember(choice: Choice): void {
  try {
    localStorage.setItem(CHOICE, JSON.stringify(choice));
  } catch {
    // It is chosen for this time only.
  }
}
