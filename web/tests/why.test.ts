import { i18n } from '@lingui/core';
import { I18nProvider } from '@lingui/react';
import { MantineProvider } from '@mantine/core';
import { notificationsStore } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createElement, type ReactNode } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { MemoryRouter } from 'react-router';
import { expect, test } from 'vitest';
import { MeContext } from '../src/api/auth';
import { ApiError } from '../src/api/client';
import type { DecisionStep, DecisiveSetting, Me } from '../src/api/types';
import { DecisionPath } from '../src/why/DecisionPath';
import { SettingCard } from '../src/why/SettingCard';
import { ChangesBar } from '../src/components/ChangesBar';
import { showError } from '../src/components/feedback';
import { readable } from '../src/components/titles';
import { HitShare } from '../src/pages/admin/staging/HitShare';
import { subjectOfRefusal } from '../src/why/subject';
import { affectedText, factName, formerOf, readSetting, resultWord, saveSetting, valueText } from '../src/why/why';

const STEPS: DecisionStep[] = [
  { rule: 'It checks in', result: 'passed', decides: false, reason: [], facts: [] },
  {
    rule: 'It accepts new sessions',
    result: 'stopped',
    decides: true,
    reason: [
      { text: 'vm', object: { kind: 'agent', id: 'a1' } },
      { text: ' is disabled.', object: null },
    ],
    facts: [{ name: 'inject_ssh_keys', value: 'no', object: null }],
  },
  { rule: 'It has the image', result: 'unreached', decides: false, reason: [], facts: [] },
];
const SETTING: DecisiveSetting = {
  object: { kind: 'agent', id: 'a1' },
  owner: 'Agent vm',
  name: 'enabled',
  title: 'Enabled',
  value: false,
  source: 'own',
  needs: 'agents_modify',
  unit: '',
  suggested: true,
  before: 'vm is disabled.',
  after: 'A session can be placed on vm.',
  affected: { users: 3, pools: 1, workspaces: null },
};

/** The text of an element for a user with these permissions, without its tags. */
function textOf(element: ReactNode, permissions: string[] = []): string {
  const me = { permissions, scoped_permissions: [] } as unknown as Me;
  const routed = createElement(MemoryRouter, null, createElement(MeContext, { value: me }, element));
  const queried = createElement(QueryClientProvider, { client: new QueryClient() }, routed);
  const page = createElement(I18nProvider, { i18n, children: createElement(MantineProvider, null, queried) });
  return renderToStaticMarkup(page).replace(/<style.*?<\/style>/gs, '');
}

test('the path says which rules passed, which one decided and which were not checked', () => {
  const words = STEPS.map((step) => resultWord(step));
  expect(words).toEqual(['Passed', 'Not passed, and decided', 'Not checked']);
  const page = textOf(createElement(DecisionPath, { steps: STEPS, tone: 'failure' }));
  for (const word of words) expect(page).toContain(word);
  expect(page.match(/data-tone="failure"/g)).toHaveLength(1);
  expect(page).toContain('Inject SSH keys');
});

test('an object is a link only for users who may open it', () => {
  const path = createElement(DecisionPath, { steps: STEPS, tone: 'failure' });
  expect(textOf(path)).not.toContain('href');
  expect(textOf(path, ['agents_view'])).toContain('href="/admin/infrastructure/agents/a1"');
});

test('a change is shown before it is saved, and only offered with the permission', () => {
  const card = createElement(SettingCard, { setting: SETTING, onTry: undefined });
  const reader = textOf(card);
  for (const text of ['Before', 'vm is disabled.', 'After', 'A session can be placed on vm.', 'set here'])
    expect(reader).toContain(text);
  expect(reader).toContain('It affects 3 users and 1 pool.');
  expect(reader).toContain('Ask an administrator to change it.');
  expect(reader).not.toContain('<button');
  expect(textOf(card, ['agents_modify'])).toContain('Save Enabled: yes');
});

test('a number is tried in the unit in which it reads best', () => {
  const setting = { ...SETTING, value: 7200, unit: 's', suggested: null };
  const card = createElement(SettingCard, { setting, onTry: () => undefined });
  const page = textOf(card, ['agents_modify']);
  expect(page).toContain('Value to try');
  expect(page).toContain('value="2"');
});

test('a setting without a visible object is not offered', () => {
  const card = createElement(SettingCard, { setting: { ...SETTING, object: null }, onTry: undefined });
  expect(textOf(card, ['global_admin'])).not.toContain('<button');
});

test('a setting of another object cannot be saved here', async () => {
  const setting = { ...SETTING, object: { kind: 'webhook', id: 'w' } } as DecisiveSetting;
  await expect(saveSetting(setting)).rejects.toThrow('cannot be changed here');
  await expect(readSetting(new QueryClient(), setting)).rejects.toThrow('cannot be changed here');
});

test('the present value of a setting is read, which is null in a group that does not set it', async () => {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
  queries.setQueryData(['agents', 'a1'], { enabled: false });
  queries.setQueryData(['groups', 'g1'], { settings: { idle_disconnect: 20 } });
  const ofGroup = { ...SETTING, object: { kind: 'group', id: 'g1' } } as DecisiveSetting;
  expect(await readSetting(queries, SETTING)).toBe(false);
  expect(await readSetting(queries, { ...ofGroup, name: 'idle_disconnect' })).toBe(20);
  expect(await readSetting(queries, { ...ofGroup, name: 'max_kasms_per_user' })).toBeNull();
});

test('an undo restores the former value, and a default is no value of a group', () => {
  expect(formerOf({ ...SETTING, value: false, suggested: true }).suggested).toBe(false);
  expect(formerOf({ ...SETTING, source: 'default', value: 5, suggested: 6 }).suggested).toBeNull();
});

test('a refusal in a notice and in the bar of changes can be explained', () => {
  const error = new ApiError(403, 'forbidden', 'No.', {}, { required: ['users_view'] });
  showError('Not done', error);
  const { message } = notificationsStore.getState().notifications[0] ?? {};
  expect(textOf(createElement('p', null, message))).toContain('Why? this refusal');
  const bar = createElement(ChangesBar, {
    changes: [{ name: 'a', title: 'A', before: '1', after: '2' }],
    isSaving: false,
    error,
    onDiscard: () => undefined,
  });
  expect(textOf(bar)).toContain('Why? this refusal');
});

test('the hit rate of a paused pool has no color', () => {
  const tone = (isPaused: boolean) => textOf(createElement(HitShare, { rate: 0.2, isPaused }));
  expect(tone(false)).toContain('data-tone="failure"');
  expect(tone(true)).toContain('data-tone="neutral"');
});

test.each([
  [null, '', 'none'],
  [true, '', 'yes'],
  ['', '', 'nothing'],
  [7.5, '', '7.5'],
  [8e9, 'bytes', '8 GB'],
  [7200, 's', '2 hours'],
])('the text of the value %j in %j is %j', (value, unit, text) => {
  expect(valueText(value, unit)).toBe(text);
});

test('nothing is said about those affected if they were not counted', () => {
  expect(affectedText({ users: null, pools: null, workspaces: null })).toBe('');
  expect(affectedText({ users: 1, pools: 0, workspaces: 2 })).toBe('It affects 1 user, 0 pools, and 2 workspaces.');
});

test('settings have titles in sentences and as inputs', () => {
  expect(readable('`idle_disconnect` = 20 and allow_kasm_downloads')).toBe('Idle disconnect = 20 and Downloads');
  expect([factName('run_config'), factName('vm')]).toEqual(['Run config', 'vm']);
});

test.each([
  [{ launch_id: 'l1' }, 409, { kind: 'launch', id: 'l1' }],
  [{ required: ['users_view', 'groups_view'] }, 403, { kind: 'permission', id: 'users_view' }],
  [{ required: ['users_view'] }, 409, null],
  [{}, 403, null],
])('the refusal %j with status %i has the subject %j', (details, status, subject) => {
  expect(subjectOfRefusal(new ApiError(status, 'x', 'No.', {}, details))).toEqual(subject);
  expect(subjectOfRefusal(new Error('no answer'))).toBeNull();
});
