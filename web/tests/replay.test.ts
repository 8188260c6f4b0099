import { describe, expect, it } from 'vitest';
import type { RecordedRow, Recording } from '../src/api/recordings';
import { limitsOf, placeOf, pointOf, shownAt, sinceOf, whyNoPicture } from '../src/pages/recording/replay';

function row(number: number, fields: Partial<RecordedRow> = {}): RecordedRow {
  return {
    number,
    began: '2026-01-02T03:04:05+00:00',
    duration_ms: 1,
    what: 'click',
    said: 'Left click.',
    who: '',
    details: {},
    code: null,
    error: null,
    picture: null,
    picture_left_out: null,
    ...fields,
  };
}

const picture = { width: 1280, height: 800 };
const rows = [row(1), row(2, { picture }), row(3, { picture_left_out: 'it was large' }), row(4)];

describe('the action that is shown', () => {
  it('is named by the end of the address', () => {
    expect(placeOf(rows, '#3')).toBe(2);
    expect([placeOf(rows, ''), placeOf(rows, '#9'), placeOf(rows, '#x'), placeOf([], '#1')]).toEqual([0, 0, 0, 0]);
  });

  it('has the last picture before it where it has none of its own', () => {
    expect([0, 1, 3, 99].map((place) => shownAt(rows, place)?.number)).toEqual([undefined, 2, 2, 2]);
  });

  it('says why it has no picture', () => {
    const [first, second, third, fourth] = rows as [RecordedRow, RecordedRow, RecordedRow, RecordedRow];
    const pictures = { record: 'pictures' } as const;
    expect(whyNoPicture(second, second, pictures)).toBeNull();
    expect(whyNoPicture(first, null, pictures)).toBe('There is no picture yet.');
    expect(whyNoPicture(first, null, { record: 'actions' })).toBe('This lease was recorded without pictures.');
    expect(whyNoPicture(third, second, pictures)).toBe(
      'There is no picture of this action: it was large. The picture shown is from action 2.',
    );
    expect(whyNoPicture(fourth, second, pictures)).toBe('The picture shown is from action 2.');
  });

  it('points at a place of the screen', () => {
    expect(pointOf(row(1, { details: { at: [640, 200], screen: [1280, 800] } }))).toEqual({
      left: '50.00%',
      top: '25.00%',
    });
    expect(pointOf(row(1))).toBeNull();
    expect(pointOf(row(1, { details: { at: [9, 9], screen: [0, 0] } }))).toBeNull();
  });

  it('has a time since the beginning', () => {
    const after = (time: string) => sinceOf({ began: time }, '2026-01-02T03:04:05Z');
    expect(['2026-01-02T03:04:12Z', '2026-01-02T04:06:14Z', '2026-01-02T03:04:00Z'].map(after)).toEqual([
      '0:07',
      '1:02:09',
      '0:00',
    ]);
  });
});

it('what is not kept is said', () => {
  const recording = { record: 'pictures', record_text: true, rows: 4, rows_left_out: 0, pictures_left_out: 0 };
  expect(limitsOf(recording as Recording, 4)).toEqual([]);
  const less = { record: 'actions', record_text: false, rows: 9, rows_left_out: 5, pictures_left_out: 1 };
  expect(limitsOf(less as Recording, 4)).toHaveLength(5);
});
