import { IconMovie, IconPhoto } from '@tabler/icons-react';
import { ToolRow } from './ToolRow';
import type { Picture } from './usePicture';

const KBIT_OF_MBIT = 1000;

/** The row that shows the current picture and switches to the other. */
export function PictureRow({ picture }: { picture: Picture }) {
  if (!picture.switch) return null;
  const isSmooth = picture.wanted === 'video';
  const waits = isSmooth && picture.shown === 'light';
  return (
    <ToolRow
      name={`Picture: ${isSmooth ? 'smooth' : 'sharp'}`}
      hint={
        waits
          ? 'Sharp until the video begins'
          : isSmooth
            ? 'For moving pictures. Switch to sharp for text'
            : 'For text. Switch to smooth for moving pictures'
      }
      icon={isSmooth ? IconMovie : IconPhoto}
      onClick={picture.switch}
    />
  );
}

/** The data rate of a stream in words. */
export function rateOf(kbit_s: number): string {
  if (kbit_s < KBIT_OF_MBIT) return `${kbit_s} kbit/s`;
  return `${(kbit_s / KBIT_OF_MBIT).toFixed(1)} Mbit/s`;
}
