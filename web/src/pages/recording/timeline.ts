/** The state and the timeline of a session video: its segments one after the other, without the gaps between them. */

import type { SessionVideo, VideoSegment } from '../../api/sessionVideos';

/** The state of a video as a word. `not stored`: the first segment is missing. `incomplete`: segments were lost. */
export function stateOf(video: Pick<SessionVideo, 'is_stored' | 'is_over' | 'ended' | 'lost_ms'>): string {
  if (!video.is_stored) return 'not stored';
  if (!video.is_over) return 'recording';
  if (!video.ended) return 'without its end';
  return video.lost_ms > 0 ? 'incomplete' : 'complete';
}

export interface Place {
  number: number;
  /** The start of the segment on the timeline, in seconds. */
  startS: number;
  endS: number;
  /** The time of its first picture, in milliseconds since 1970. */
  beganMs: number;
}

/** Pauses of at least this time between two segments are gaps. */
const GAP_MS = 2000;

/** The places of the segments with pictures. */
export function timelineOf(segments: VideoSegment[]): Place[] {
  let startS = 0;
  return segments
    .filter(({ is_lost: isLost }) => !isLost)
    .map(({ number, began, duration_ms: durationMs }) => {
      const place = { number, startS, endS: startS + durationMs / 1000, beganMs: Date.parse(began) };
      startS = place.endS;
      return place;
    });
}

/** The index of the segment at a position of the timeline; the last one after the end. */
export function placeAt(places: Place[], positionS: number): number {
  const found = places.findIndex(({ endS }) => positionS < endS);
  return found === -1 ? places.length - 1 : found;
}

/** The time that the clock showed at a position of the timeline, in milliseconds since 1970; NaN = there is no segment. */
export function clockAt(places: Place[], positionS: number): number {
  const place = places[placeAt(places, positionS)];
  return place ? place.beganMs + Math.min(positionS, place.endS) * 1000 - place.startS * 1000 : NaN;
}

/** The number of gaps, in which the session was stopped or the recording was interrupted. */
export function gapsOf(places: Place[]): number {
  return places.filter((place, index) => {
    const before = places[index - 1];
    return before && place.beganMs - before.beganMs - (before.endS - before.startS) * 1000 >= GAP_MS;
  }).length;
}
