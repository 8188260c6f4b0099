import { expect, test } from 'vitest';
import type { SentencePart } from '../src/api/types';
import { namedParts } from '../src/components/names';

const NAMES: SentencePart[] = [
  { text: 'vm', object: { kind: 'agent', id: 'a1' } },
  { text: 'vm-2', object: { kind: 'agent', id: 'a2' } },
  { text: 'default', object: { kind: 'zone', id: 'z1' } },
  { text: 'ann@uni.example', object: { kind: 'user', id: 'u1' } },
];

test.each([
  ['vm-2 has no room.', ['vm-2']],
  ['vm and vm-2.', ['vm', 'vm-2']],
  ['Zone default: vm has no room', ['default', 'vm']],
  ['In zone default, the default applies.', ['default']],
  ['ann@uni.example changed zone default: proxy_port', ['ann@uni.example', 'default']],
  ['The host vm.example.org and the file /etc/vm are others.', []],
  ['VM is another word.', []],
  ['Nothing is named.', []],
])('the names in %j are whole words', (text, names) => {
  const parts = namedParts([{ text, object: null }], NAMES);
  expect(parts.map((part) => part.text).join('')).toBe(text);
  expect(parts.filter(({ object }) => object).map((part) => part.text)).toEqual(names);
});

test('a part with an object stays as it is', () => {
  const part: SentencePart = { text: 'vm', object: { kind: 'manager', id: 'm1' } };
  expect(namedParts([part, { text: ' is vm', object: null }], NAMES)).toEqual([
    part,
    { text: ' is ', object: null },
    NAMES[0],
  ]);
});
