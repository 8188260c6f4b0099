import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { ActionIcon, Progress, Select, Slider } from '@mantine/core';
import { IconVolume, IconVolumeOff } from '@tabler/icons-react';
import { Panel } from './Panel';
import styles from './Panel.module.css';
import { type Device, type Levels, type LevelStore, type Sound, useLevels } from './useSound';

/** The loudness below which a meter shows nothing, in dB of full scale. */
const FLOOR_DB = -60;

/** Volume, meters and devices of a session's sound. */
export function SoundPanel({ sound, onClose }: { sound: Sound; onClose: () => void }) {
  const { audio, microphone, changeAudio, changeMicrophone } = sound;
  return (
    <Panel
      title={t`Sound`}
      label={t`Volume and devices`}
      close={t`Close the volume and devices`}
      onClose={onClose}
      focusesClose
    >
      {audio.allowed ? (
        <>
          <Volume
            volume={audio.volume}
            muted={audio.muted}
            onVolume={(volume) => changeAudio({ volume })}
            onMuted={(muted) => changeAudio({ muted })}
          />
          <LevelMeter label={t`Level of the sound`} levels={sound.levels} of="audio" />
          <Devices
            label={t`Speakers`}
            devices={sound.outputs}
            chosen={audio.device}
            onChoose={(device) => changeAudio({ device })}
          />
        </>
      ) : (
        <p>{audio.reason}</p>
      )}
      <h2>
        <Trans>Microphone</Trans>
      </h2>
      {microphone.allowed ? (
        <>
          <LevelMeter label={t`Level of the microphone`} levels={sound.levels} of="microphone" />
          <Devices
            label={t`Microphone`}
            devices={sound.inputs}
            chosen={microphone.device}
            onChoose={(device) => changeMicrophone({ device })}
          />
          {microphone.problem && <p role="alert">{microphone.problem}</p>}
        </>
      ) : (
        <p>{microphone.reason}</p>
      )}
    </Panel>
  );
}

interface VolumeProps {
  volume: number;
  muted: boolean;
  onVolume: (volume: number) => void;
  onMuted: (muted: boolean) => void;
}

function Volume({ volume, muted, onVolume, onMuted }: VolumeProps) {
  const Icon = muted ? IconVolumeOff : IconVolume;
  return (
    <div className={styles.line}>
      <ActionIcon
        size="xl"
        variant="subtle"
        color="gray"
        aria-label={t`Mute`}
        aria-pressed={muted}
        onClick={() => onMuted(!muted)}
      >
        <Icon size={20} />
      </ActionIcon>
      <Slider
        className={styles.grows}
        thumbLabel={t({ message: 'Volume', context: 'sound' })}
        label={(percent) => `${percent} %`}
        min={0}
        max={100}
        step={1}
        value={Math.round(volume * 100)}
        onChange={(percent) => onVolume(percent / 100)}
      />
    </div>
  );
}

/** The meter changes constantly, so screen readers do not read it. */
function LevelMeter({ label, levels, of }: { label: string; levels: LevelStore; of: keyof Levels }) {
  const rms = useLevels(levels)[of];
  const percent = rms > 0 ? Math.max(0, 100 * (1 - (20 * Math.log10(rms)) / FLOOR_DB)) : 0;
  return <Progress value={percent} size="sm" transitionDuration={100} aria-label={label} data-rms={rms} />;
}

interface DevicesProps {
  label: string;
  devices: Device[];
  chosen: string;
  onChoose: (device: string) => void;
}

/** The choice of the device, if there is more than one and the browser provides their names. */
function Devices({ label, devices, chosen, onChoose }: DevicesProps) {
  const named = devices.filter((device) => device.label);
  if (named.length < 2) return null;
  const data = named.map(({ id, label: name }) => ({ value: id, label: name }));
  const first = named.find(({ id }) => id === 'default') ?? named[0];
  const value = named.some(({ id }) => id === chosen) ? chosen : (first?.id ?? null);
  return (
    <Select
      label={label}
      data={data}
      value={value}
      allowDeselect={false}
      comboboxProps={{ withinPortal: false }}
      onChange={(device) => device !== null && onChoose(device)}
    />
  );
}
