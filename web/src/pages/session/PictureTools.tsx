import { t } from '@lingui/core/macro';
import { IconMovie, IconPhoto } from '@tabler/icons-react';
import { ToolRow } from './ToolRow';
import type { Picture } from './usePicture';

/** The row that shows the current picture and switches to the other. */
export function PictureRow({ picture }: { picture: Picture }) {
  if (!picture.switch) return null;
  const isSmooth = picture.wanted === 'video';
  const waits = isSmooth && picture.shown === 'light';
  return (
    <ToolRow
      name={isSmooth ? t`Picture: smooth` : t`Picture: sharp`}
      hint={
        waits
          ? t`Sharp until the video begins`
          : isSmooth
            ? t`For moving pictures. Switch to sharp for text`
            : t`For text. Switch to smooth for moving pictures`
      }
      icon={isSmooth ? IconMovie : IconPhoto}
      onClick={picture.switch}
    />
  );
}
