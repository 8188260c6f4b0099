import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Alert, Group, Text } from '@mantine/core';
import { useEffect, useMemo, useRef, useState } from 'react';
import { SegmentReader, type VideoSegment } from '../../api/sessionVideos';
import { isTemporary, messageOf } from '../../api/client';
import { absolute } from '../../components/TimeAgo';
import { clockAt, gapsOf, placeAt, timelineOf, type Place } from './timeline';
import styles from './Recording.module.css';

const TYPE = 'video/mp4; codecs="avc1.640033"';
/** Segments are loaded when they begin within this time after the position, in seconds. */
const AHEAD_S = 45;
/** Loaded segments are removed when they end more than this time before the position, in seconds. A browser with too many
 * segments would remove some of them itself. */
const BEHIND_S = 60;
/** The browser rounds times; the first picture after a removed segment must stay. */
const ROUNDING_S = 0.001;
/** The time after which a failed segment is loaded again. */
const RETRY_MS = 5000;

interface Props {
  sessionId: string;
  viewing: string;
  segments: VideoSegment[];
}

/** Plays the segments of a video as one, and loads them while it plays. */
export function VideoPlayer({ sessionId, viewing, segments }: Props) {
  const video = useRef<HTMLVideoElement>(null);
  const places = useMemo(() => timelineOf(segments), [segments]);
  const [error, setError] = useState<string | null>(null);
  const [positionS, setPosition] = useState(0);

  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const loader = new Loader(element, places, new SegmentReader(sessionId, viewing), setError);
    element.focus(); // the button that opened the player is gone
    return () => loader.close();
  }, [places, sessionId, viewing]);

  const gaps = gapsOf(places);
  const time = absolute(new Date(clockAt(places, positionS)).toISOString());
  return (
    <div className={styles.player}>
      {error && (
        <Alert color="red" role="alert">
          {error}
        </Alert>
      )}
      <video
        ref={video}
        controls
        muted
        aria-label={t`Video of the session`}
        className="session-video"
        onTimeUpdate={({ currentTarget }) => setPosition(currentTarget.currentTime)}
      />
      <Group justify="space-between">
        <Text size="sm">
          <Trans>
            Time of the picture:{' '}
            <Text span size="sm" className={styles.said} data-testid="clock">
              {time}
            </Text>
          </Trans>
        </Text>
        {gaps > 0 && (
          <Text size="sm" className="dimmed">
            <Plural value={gaps} one="# gap without pictures is skipped" other="# gaps without pictures are skipped" />
          </Text>
        )}
      </Group>
    </div>
  );
}

/** Loads the segments around the position of a video element into its buffer, one at a time. */
class Loader {
  private readonly source = new MediaSource();
  private readonly address = URL.createObjectURL(this.source);
  private readonly stop = new AbortController();
  private readonly loaded = new Set<number>();
  private buffer: SourceBuffer | null = null;
  private isBusy = false;
  private retry: number | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly places: Place[],
    private readonly reader: SegmentReader,
    private readonly onError: (message: string | null) => void,
  ) {
    const options = { signal: this.stop.signal };
    this.source.addEventListener('sourceopen', () => this.open(), { once: true, ...options });
    for (const name of ['timeupdate', 'seeking', 'waiting'])
      video.addEventListener(name, () => void this.load(), options);
    video.addEventListener('error', () => this.fail(video.error?.message ?? t`unknown error`), options);
    video.src = this.address;
  }

  close(): void {
    this.stop.abort();
    window.clearTimeout(this.retry);
    URL.revokeObjectURL(this.address);
    this.video.removeAttribute('src');
    this.video.load();
  }

  private isClosed(): boolean {
    return this.stop.signal.aborted;
  }

  private fail(reason: string): void {
    this.onError(t`The video cannot be played: ${reason}`);
  }

  private open(): void {
    if (!MediaSource.isTypeSupported(TYPE)) {
      this.fail(t`this browser does not support H.264.`);
      return;
    }
    this.buffer = this.source.addSourceBuffer(TYPE);
    this.source.duration = this.places.at(-1)?.endS ?? 0;
    void this.load();
  }

  /** Load the segment at the position and those that follow within `AHEAD_S`. After a temporary error, try again. */
  private async load(): Promise<void> {
    if (this.isBusy || !this.buffer || this.isClosed()) return;
    this.isBusy = true;
    window.clearTimeout(this.retry);
    try {
      for (let place = this.next(); place; place = this.next()) {
        await this.append(this.buffer, place);
        await this.removeFar(this.buffer);
        this.markEnd();
        this.onError(null);
      }
    } catch (error) {
      if (this.isClosed()) return;
      this.fail(messageOf(error));
      if (isTemporary(error)) this.retry = window.setTimeout(() => void this.load(), RETRY_MS);
    } finally {
      this.isBusy = false;
    }
  }

  private next(): Place | undefined {
    if (this.isClosed()) return undefined;
    const { currentTime } = this.video;
    return this.places
      .slice(placeAt(this.places, currentTime))
      .find(({ number, startS }) => !this.loaded.has(number) && startS < currentTime + AHEAD_S);
  }

  private async append(buffer: SourceBuffer, { number, startS }: Place): Promise<void> {
    const data = await this.reader.read(number, this.stop.signal);
    await this.changed(buffer, () => {
      buffer.timestampOffset = startS;
      buffer.appendBuffer(data);
    });
    this.loaded.add(number);
  }

  /** Remove the segments that are far from the position. */
  private async removeFar(buffer: SourceBuffer): Promise<void> {
    const { currentTime } = this.video;
    const loaded = this.places.filter(({ number }) => this.loaded.has(number));
    const before = loaded.filter(({ endS }) => endS < currentTime - BEHIND_S);
    const after = loaded.filter(({ startS }) => startS > currentTime + AHEAD_S);
    for (const { number } of [...before, ...after]) this.loaded.delete(number);
    const endS = (before.at(-1)?.endS ?? 0) - ROUNDING_S;
    if (endS > 0) await this.changed(buffer, () => buffer.remove(0, endS));
    const [next] = after;
    if (next) await this.changed(buffer, () => buffer.remove(next.startS, Infinity));
  }

  /** Let the video end after its last segment. Otherwise the browser would wait for more. Changes of the buffer undo
   * this. */
  private markEnd(): void {
    const last = this.places.at(-1);
    if (last && this.loaded.has(last.number) && this.source.readyState === 'open') this.source.endOfStream();
  }

  /** Change the buffer, and wait until the change is done. */
  private changed(buffer: SourceBuffer, change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      buffer.onupdateend = () => resolve();
      buffer.onerror = () => reject(new Error(t`a segment is not a valid video.`));
      change();
    });
  }
}
