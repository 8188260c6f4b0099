import { t } from '@lingui/core/macro';
import { Text } from '@mantine/core';
import { IconPhotoOff } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { pictureAddress, type RecordedRow } from '../../api/recordings';
import { pointOf } from './replay';
import styles from './Recording.module.css';

interface Props {
  leaseId: string;
  /** The action that is shown. */
  row: RecordedRow;
  /** The action whose picture is shown; null = none. */
  shown: RecordedRow | null;
  /** The reason why it is the picture of another action. */
  reason: string | null;
  /** The next action with a picture, which is loaded in advance. */
  next: RecordedRow | null;
}

/** The screen after an action, with the place of the action. */
export function Screen({ leaseId, row, shown, reason, next }: Props) {
  const [broken, setBroken] = useState<number | null>(null);
  useEffect(() => {
    if (next) new Image().src = pictureAddress(leaseId, next.number);
  }, [leaseId, next]);
  const point = pointOf(row);
  const lost = shown !== null && broken === shown.number;
  return (
    <figure className="replay-screen">
      {shown && !lost ? (
        <div className="replay-picture" data-other={shown === row ? undefined : true}>
          <img
            src={pictureAddress(leaseId, shown.number)}
            alt={t`The screen after action ${{ number: shown.number }}: ${{ action: shown.said }}`}
            width={shown.picture?.width}
            height={shown.picture?.height}
            onError={() => setBroken(shown.number)}
          />
          {point && <span className="replay-point" data-failed={row.code ? true : undefined} style={point} />}
        </div>
      ) : (
        <div className="replay-nothing">
          <h2 className={styles.nothing}>
            <IconPhotoOff size={32} aria-hidden className="replay-no-picture" />
            {lost ? t`The picture could not be loaded` : t`No picture`}
          </h2>
        </div>
      )}
      <figcaption>
        <Text size="sm" className="dimmed">
          {reason}
        </Text>
      </figcaption>
    </figure>
  );
}
