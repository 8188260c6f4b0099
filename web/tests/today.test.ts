import { expect, test } from 'vitest';
import type { Attention } from '../src/api/types';
import { keyed } from '../src/pages/admin/today/AttentionList';

const entry = (code: Attention['code'], id: string, sentence: string): Attention => ({
  code,
  severity: 'warning',
  sentence,
  parts: [
    { text: 'Agent ', object: null },
    { text: 'vm', object: { kind: 'agent', id } },
  ],
  people: 0,
  since: null,
  names: [],
  launch_id: null,
  help: { title: 'Show the Agent', operation: 'open', object: { kind: 'agent', id } },
});

test('an entry keeps its key when its sentence or its place changes', () => {
  const before = keyed([entry('disk', 'a1', 'It has 5 GB.'), entry('agent-missing', 'a1', 'It is missing.')]);
  const after = keyed([entry('agent-missing', 'a1', 'It is missing.'), entry('disk', 'a1', 'It has 4 GB.')]);
  expect(after.map(([key]) => key)).toEqual(before.map(([key]) => key).reverse());
});

test('entries about the same object have different keys', () => {
  const keys = keyed([entry('launches', 'i1', 'No room.'), entry('launches', 'i1', 'No disk.')]).map(([key]) => key);
  expect(new Set(keys).size).toBe(2);
});
