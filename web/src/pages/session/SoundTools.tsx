import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import {
  IconAdjustmentsHorizontal,
  IconMicrophone,
  IconMicrophoneFilled,
  IconMicrophoneOff,
  IconVolume,
  IconVolumeOff,
} from '@tabler/icons-react';
import styles from './SoundTools.module.css';
import { ToolRow } from './ToolRow';
import type { Audio, Microphone, Sound } from './useSound';

/** The switches of sound and microphone, and the row that opens the panel with the other settings. */
export function SoundRows({ sound, onPanel }: { sound: Sound; onPanel: () => void }) {
  const { audio, microphone, changeAudio, changeMicrophone } = sound;
  return (
    <>
      <ToolRow
        name={t`Sound`}
        hint={hintOfSound(audio)}
        refused={audio.allowed ? null : audio.reason}
        on={audio.on}
        icon={audio.on && !audio.muted ? IconVolume : IconVolumeOff}
        onClick={() => changeAudio({ on: !audio.on })}
      />
      <ToolRow
        name={t`Microphone`}
        hint={hintOfMicrophone(microphone)}
        refused={microphone.allowed ? null : microphone.reason}
        on={microphone.on}
        icon={microphone.on ? IconMicrophone : IconMicrophoneOff}
        onClick={() => changeMicrophone({ on: !microphone.on })}
      />
      {(audio.allowed || microphone.allowed) && (
        <ToolRow name={t`Volume and devices`} icon={IconAdjustmentsHorizontal} onClick={onPanel} />
      )}
    </>
  );
}

function hintOfSound({ on, waits, muted }: Audio): string | undefined {
  if (on && waits) return t`Begins with your next click in the session`;
  return on && muted ? t`Muted` : undefined;
}

function hintOfMicrophone({ on, connected, problem }: Microphone): string | undefined {
  if (on) return connected ? undefined : t`It is being switched on`;
  return problem ?? undefined;
}

/** The sign of a switched-on microphone, also visible while the pill is tucked away. A click switches it off. */
export function MicrophoneSign({ sound }: { sound: Sound }) {
  if (!sound.microphone.on) return null;
  return (
    <div className={styles.sign}>
      <Button
        size="compact-sm"
        color="red"
        leftSection={<IconMicrophoneFilled size={14} aria-hidden />}
        onClick={() => sound.changeMicrophone({ on: false })}
      >
        <Trans>Microphone on</Trans>
      </Button>
    </div>
  );
}
