import { ActionIcon, Button, Tooltip } from '@mantine/core';
import {
  IconAdjustmentsHorizontal,
  IconMicrophone,
  IconMicrophoneFilled,
  IconMicrophoneOff,
  IconVolume,
  IconVolumeOff,
  type TablerIcon,
} from '@tabler/icons-react';
import { Tool } from './Tool';
import type { Audio, Microphone, Sound } from './useSound';

/** The buttons that switch sound and microphone, and the panel with the other settings. */
export function SoundTools({ sound, panel, onPanel }: { sound: Sound; panel: boolean; onPanel: () => void }) {
  const { audio, microphone, changeAudio, changeMicrophone } = sound;
  return (
    <>
      <Switch
        name="Sound"
        label={labelOfSound(audio)}
        refused={audio.allowed ? null : audio.reason}
        on={audio.on}
        icon={audio.on && !audio.muted ? IconVolume : IconVolumeOff}
        onClick={() => changeAudio({ on: !audio.on })}
      />
      <Switch
        name="Microphone"
        label={labelOfMicrophone(microphone)}
        refused={microphone.allowed ? null : microphone.reason}
        on={microphone.on}
        icon={microphone.on ? IconMicrophone : IconMicrophoneOff}
        color="red"
        onClick={() => changeMicrophone({ on: !microphone.on })}
      />
      {(audio.allowed || microphone.allowed) && (
        <Tool label="Volume and devices" icon={IconAdjustmentsHorizontal} onClick={onPanel} expanded={panel} />
      )}
    </>
  );
}

function labelOfSound({ on, waits, muted }: Audio): string {
  if (!on) return 'Sound is off. Switch it on';
  if (waits) return 'Sound begins with your next click in the session';
  return muted ? 'Sound is on, but muted. Switch the sound off' : 'Sound is on. Switch it off';
}

function labelOfMicrophone({ on, connected, problem }: Microphone): string {
  if (on) return connected ? 'Your microphone is on. Switch it off' : 'Your microphone is being switched on';
  return problem ?? 'Your microphone is off. Switch it on';
}

interface SwitchProps {
  name: string;
  label: string;
  /** The reason why it cannot be switched on, which is shown instead. */
  refused: string | null;
  on: boolean;
  icon: TablerIcon;
  color?: string;
  onClick: () => void;
}

function Switch({ name, label, refused, on, icon: Icon, color = 'accent', onClick }: SwitchProps) {
  const isRefused = refused !== null;
  return (
    <Tooltip label={refused ?? label}>
      <ActionIcon
        variant={on ? 'light' : 'subtle'}
        color={on ? color : 'gray'}
        aria-label={isRefused ? `${name}: ${refused}` : name}
        aria-pressed={isRefused ? undefined : on}
        data-disabled={isRefused || undefined}
        aria-disabled={isRefused || undefined}
        onClick={() => isRefused || onClick()}
      >
        <Icon size={18} color={on ? undefined : 'var(--mantine-color-text)'} />
      </ActionIcon>
    </Tooltip>
  );
}

/** The sign of a switched-on microphone, also visible while the bar is hidden. A click switches it off. */
export function MicrophoneSign({ sound }: { sound: Sound }) {
  if (!sound.microphone.on) return null;
  return (
    <Button
      className="microphone-sign"
      size="compact-sm"
      color="red"
      leftSection={<IconMicrophoneFilled size={14} aria-hidden />}
      onClick={() => sound.changeMicrophone({ on: false })}
    >
      Microphone on
    </Button>
  );
}
