import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { messageOf } from '../api/client';
import { screenshotQuery } from '../api/queries';
import styles from './Screenshot.module.css';

interface Props {
  sessionId: string;
  /** The description of the picture, for screen readers. */
  alt: string;
  width: number;
  /** The interval of new pictures in seconds while the picture is visible. */
  renewAfter: number;
}

/** A picture of the screen of a running session, or the reason why there is none. */
export function Screenshot({ sessionId, alt, width, renewAfter }: Props) {
  const shot = useQuery({
    ...screenshotQuery(sessionId, width),
    refetchInterval: renewAfter * 1000,
    refetchIntervalInBackground: false,
  });
  const url = useObjectUrl(shot.data);
  if (url) return <img src={url} alt={alt} className={styles.shot} />;
  return shot.isError ? <p>{messageOf(shot.error)}</p> : <div className={styles.shot} />;
}

/** The address of a picture while it is shown; null without a picture. */
export function useObjectUrl(blob: Blob | undefined): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!blob) {
      setUrl(null);
      return;
    }
    const next = URL.createObjectURL(blob);
    setUrl(next);
    return () => URL.revokeObjectURL(next);
  }, [blob]);
  return url;
}
