import { describe, expect, test } from 'vitest';
import { ApiError } from '../src/api/client';
import { jsonProblem, jsonText, parsedJson } from '../src/components/json';
import { changed, errorsOf, sentenceOf, warningsOf } from '../src/components/saving';

test('what is not changed is not sent, also where it is a list', () => {
  const before = { name: 'eu', cores: 2, groups: ['a', 'b'], note: '' };
  expect(changed(before, { ...before, groups: ['a', 'b'] })).toEqual({});
  expect(changed(before, { ...before, cores: 4, groups: ['b'] })).toEqual({ cores: 4, groups: ['b'] });
});

describe('what the server refuses', () => {
  const form = { name: '', cores: 2 };
  const refused = (fields: Record<string, string>) => new ApiError(422, 'invalid', 'Values cannot be used.', fields);

  test('is shown at its field, and the sentence points there', () => {
    const error = refused({ name: 'It is taken.' });
    expect(errorsOf(form, error)).toEqual({ name: 'It is taken.' });
    expect(sentenceOf(form, error)).toBe('Correct the marked fields.');
  });

  test('is said above the buttons when the form has no such field', () => {
    const error = refused({ name: 'It is taken.', zone_id: 'There is no such zone.' });
    expect(errorsOf(form, error)).toEqual({ name: 'It is taken.' });
    expect(sentenceOf(form, error)).toBe('Values cannot be used.');
  });

  test('may be about no field, or no refusal at all', () => {
    expect(sentenceOf(form, refused({}))).toBe('Values cannot be used.');
    expect(sentenceOf(form, new Error('The connection was lost.'))).toBe('The connection was lost.');
    expect(errorsOf(form, new Error('The connection was lost.'))).toEqual({});
  });
});

test('warnings about what was saved come as one or as several; other values are none', () => {
  expect(warningsOf({ warning: 'No user matches.', warnings: ['It is full.', '', 3] })).toEqual([
    'No user matches.',
    'It is full.',
  ]);
  expect([{ warning: null }, null, undefined, 'saved'].flatMap(warningsOf)).toEqual([]);
});

describe('JSON that people write', () => {
  test.each(['', '  ', '{}', '{"hostname": "desk"}'])('%j is an object', (text) =>
    expect(jsonProblem(text)).toBeNull(),
  );
  test.each(['[]', '3', 'null', '"text"'])('%j is JSON, and no object', (text) =>
    expect(jsonProblem(text)).toContain('must be a JSON object'),
  );
  test('what is no JSON is refused, and not sent as nothing', () => {
    expect(jsonProblem('{"a": }')).toContain('This is not JSON');
    expect(() => parsedJson('{"a": }')).toThrow('This is not JSON');
  });
  test('an empty field is the empty object, both ways', () => {
    expect(parsedJson(' ')).toEqual({});
    expect([jsonText({}), jsonText(null)]).toEqual(['', '']);
    expect(parsedJson(jsonText({ a: [1] }))).toEqual({ a: [1] });
  });
});
