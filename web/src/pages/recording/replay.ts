/** Selects the shown action of a recording and its picture. */

import { plural, t } from '@lingui/core/macro';
import type { RecordedRow, Recording } from '../../api/recordings';

/** The place of the row that the end of an address names, such as `#12`; the first one if it names none. */
export function placeOf(rows: readonly Pick<RecordedRow, 'number'>[], hash: string): number {
  const number = Number(/^#(\d+)$/.exec(hash)?.[1] ?? NaN);
  const place = rows.findIndex((row) => row.number === number);
  return Math.max(place, 0);
}

/** The newest picture at or before a place; null = there was none yet. */
export function shownAt(rows: readonly RecordedRow[], place: number): RecordedRow | null {
  for (let at = Math.min(place, rows.length - 1); at >= 0; at -= 1) {
    const row = rows[at];
    if (row?.picture) return row;
  }
  return null;
}

/** The reason why the picture is not of the action itself; null = it is. */
export function whyNoPicture(row: RecordedRow, shown: RecordedRow | null, recording: Pick<Recording, 'record'>) {
  if (row === shown) return null;
  const instead = shown && t`The picture shown is from action ${{ number: shown.number }}.`;
  if (row.picture_left_out) {
    const why = t`There is no picture of this action: ${{ reason: row.picture_left_out }}.`;
    return instead ? `${why} ${instead}` : why;
  }
  if (recording.record === 'actions') return t`This lease was recorded without pictures.`;
  return instead ?? t`There is no picture yet.`;
}

/** The position of a row in percent of the picture; null = none. */
export function pointOf(row: RecordedRow): { left: string; top: string } | null {
  const { at, screen } = row.details as { at?: [number, number]; screen?: [number, number] };
  if (!at || !screen?.[0] || !screen[1]) return null;
  const percent = (value: number, of: number) => `${Math.min(Math.max((value / of) * 100, 0), 100).toFixed(2)}%`;
  return { left: percent(at[0], screen[0]), top: percent(at[1], screen[1]) };
}

/** "0:07", "1:02:09": time since the recording began. */
export function sinceOf(row: Pick<RecordedRow, 'began'>, begun: string): string {
  const whole = Math.max(0, Math.floor((Date.parse(row.began) - Date.parse(begun)) / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** The limits of a recording, as sentences. */
export function limitsOf(recording: Recording, shown: number): string[] {
  const sentences: string[] = [];
  if (recording.record === 'actions') sentences.push(t`This lease was recorded without pictures.`);
  if (!recording.record_text)
    sentences.push(t`Only the length of typed and copied text is recorded, and only the host of opened addresses.`);
  if (recording.pictures_left_out)
    sentences.push(
      plural(
        { count: recording.pictures_left_out },
        {
          one: '# picture was left out. Its action shows the reason.',
          other: '# pictures were left out. The action of each picture shows the reason.',
        },
      ),
    );
  if (recording.rows_left_out)
    sentences.push(
      plural(
        { count: recording.rows_left_out },
        {
          one: '# action is missing at the end, because a recording has at most 100,000.',
          other: '# actions are missing at the end, because a recording has at most 100,000.',
        },
      ),
    );
  if (shown && shown < recording.rows)
    sentences.push(t`The first ${shown} actions are shown. Export the recording to get all.`);
  return sentences;
}
