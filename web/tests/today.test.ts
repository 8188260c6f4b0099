import { MantineProvider } from '@mantine/core';
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import type { Attention, Me } from '../src/api/types';
import { PageButton } from '../src/components/Named';
import { helpAddress } from '../src/components/objects';
import { keyed, kindsOf } from '../src/pages/admin/today/AttentionList';
import { textOf } from '../src/pages/admin/today/FirstSteps';

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

test('a first step that this console does not know has no text', () => {
  expect(textOf('people')?.to).toBe('/admin/users?create=1');
  expect(textOf('newer' as 'people')).toBeNull();
});

test('a button that edits an object asks its page for the form', () => {
  const me = { permissions: ['zones_view'], scoped_permissions: [] as string[] } as unknown as Me;
  const help = { title: 'Change the zone', object: { kind: 'zone' as const, id: 'z1' } };
  expect(helpAddress({ ...help, operation: 'edit' }, me)).toBe('/admin/infrastructure/zones/z1?do=edit');
  expect(helpAddress({ ...help, operation: 'open' }, me)).toBe('/admin/infrastructure/zones/z1');
});

test('the button of a guide opens its section in the documentation', () => {
  const me = { permissions: ['system_view'], scoped_permissions: [] as string[] } as unknown as Me;
  const object = { kind: 'guide' as const, id: 'one-machine.html#renew-a-certificate' };
  const to = '/help/docs/howto/one-machine.html#renew-a-certificate';
  expect(helpAddress({ title: 'Show how', operation: 'open', object }, me)).toBe(to);
  const button = createElement(PageButton, { to, about: 'The certificate ends.', children: 'Show how' });
  expect(renderToStaticMarkup(createElement(MantineProvider, null, button))).toMatch(
    /href="\/help\/docs[^>]* target="_blank"[^>]*aria-label="Show how: The certificate ends."/,
  );
});

test('the button for hidden entries names each kind once', () => {
  const hidden = [entry('manager-disabled', 'm1', ''), entry('certificate', '', ''), entry('certificate', '', '')];
  expect(kindsOf(hidden)).toBe('a disabled Manager, a certificate');
  expect(kindsOf([entry('newer' as 'disk', '', '')])).toBe('newer');
});
