import { Text } from '@mantine/core';
import { IconMovie, IconPhoto } from '@tabler/icons-react';
import { Tool } from './Tool';
import type { Picture, Stats } from './usePicture';

const KBIT_OF_MBIT = 1000;

/** The button that shows the current picture and switches to the other. */
export function PictureTool({ picture }: { picture: Picture }) {
  if (!picture.switch) return null;
  const isVideo = picture.wanted === 'video';
  const waits = isVideo && picture.shown === 'light' ? ' (sharp until the video begins)' : '';
  return (
    <Tool
      label={
        isVideo
          ? `Picture: smooth${waits}. Switch to sharp, for text`
          : 'Picture: sharp. Switch to smooth, for moving pictures'
      }
      name={`Picture: ${isVideo ? 'smooth' : 'sharp'}`}
      icon={isVideo ? IconMovie : IconPhoto}
      onClick={picture.switch}
    />
  );
}

/** The rate and the frames of the picture. They change every second, so screen readers do not read them. */
export function PictureStats({ stats }: { stats: Stats }) {
  return (
    <Text size="xs" c="dimmed" className="number nowrap" aria-hidden>
      {rate(stats.kbit_s)} · {stats.frames_s} fps
    </Text>
  );
}

function rate(kbit_s: number): string {
  if (kbit_s < KBIT_OF_MBIT) return `${kbit_s} kbit/s`;
  return `${(kbit_s / KBIT_OF_MBIT).toFixed(1)} Mbit/s`;
}
