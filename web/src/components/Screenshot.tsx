import { Image, Skeleton, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { messageOf } from '../api/client';
import { screenshotQuery } from '../api/queries';

interface Props {
  sessionId: string;
  /** The description of the picture, for screen readers. */
  alt: string;
  width: number;
  /** The content without a picture. Without it, the reason is shown. */
  fallback?: ReactNode;
  /** The interval of new pictures in seconds while the picture is visible. Without it, there is only one. */
  renewAfter?: number;
}

/** A picture of the screen of a running session. */
export function Screenshot({ sessionId, alt, width, fallback, renewAfter }: Props) {
  const shot = useQuery({
    ...screenshotQuery(sessionId, width),
    refetchInterval: renewAfter ? renewAfter * 1000 : false,
    refetchIntervalInBackground: false,
  });
  const url = useObjectUrl(shot.data);
  if (url) return <Image src={url} alt={alt} radius="sm" fit="cover" style={{ aspectRatio: '16 / 10' }} />;
  if (fallback) return fallback;
  return shot.isError ? (
    <Text size="sm">{messageOf(shot.error)}</Text>
  ) : (
    <Skeleton style={{ aspectRatio: '16 / 10' }} />
  );
}

function useObjectUrl(blob: Blob | undefined): string | null {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!blob) return;
    const next = URL.createObjectURL(blob);
    setUrl(next);
    return () => URL.revokeObjectURL(next);
  }, [blob]);
  return url;
}
