/** Sound and microphone of the page of a session (docs/reference/session-page.md), and the choices that this browser stores. */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { keepText, keptText } from '../../kept';

/** A device of the browser. The label is empty until the user allows the microphone. */
export interface Device {
  id: string;
  label: string;
}

/** `reason`: why sound is not allowed; `waits`: the browser plays no sound before a click or a key. */
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

/** `problem`: why the microphone is off although the user switched it on. */
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

/** The choices that this browser stores. The microphone is off at each start. */
interface Choice {
  on: boolean;
  volume: number;
  muted: boolean;
  speaker: string;
  microphone: string;
}

const CHOICE = 'greenroom-sound';
const FIRST: Choice = { on: false, volume: 1, muted: false, speaker: '', microphone: '' };

/** The levels change ten times a second. Only the meters render again. */
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

/** `say` sends a message to the page of the session; `receive` handles the messages of the page. */
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
    keepText(CHOICE, JSON.stringify(choice.current));
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
    const stored: unknown = JSON.parse(keptText(CHOICE) ?? '{}');
    return { ...FIRST, ...(stored as Partial<Choice>) };
  } catch {
    return FIRST; // another program wrote it
  }
}
