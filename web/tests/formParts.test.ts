import { i18n } from '@lingui/core';
import { I18nProvider } from '@lingui/react';
import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createElement, type ReactElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { MemoryRouter } from 'react-router';
import { expect, test } from 'vitest';
import type { Setting } from '../src/api/types';
import { AmountInput } from '../src/components/AmountInput';
import { ChangesBar } from '../src/components/ChangesBar';
import { RoomLine, UsersLine } from '../src/components/Preview';
import { SettingRow } from '../src/components/settings/SettingRow';
import { ThreeWay } from '../src/components/ThreeWay';

const ignore = () => undefined;

function rendered(element: ReactElement): string {
  const translated = createElement(I18nProvider, { i18n }, element);
  const page = createElement(MemoryRouter, null, createElement(MantineProvider, null, translated));
  return renderToStaticMarkup(createElement(QueryClientProvider, { client: new QueryClient() }, page));
}

/** The text without elements, in which each element is a space. */
function textOf(markup: string): string {
  return markup
    .replace(/<style[\s\S]*?<\/style>/g, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

test('the field of a duration has its number and the choice of its unit', () => {
  const markup = rendered(
    createElement(AmountInput, { label: 'Lifetime', unit: 's', value: 43_200, onChange: ignore }),
  );
  expect(markup).toMatch(/<input[^>]* value="12"/);
  expect(markup).toContain('aria-label="Unit: Lifetime"');
  expect(markup).toMatch(/<option value="hours" selected="">hours</);
  expect(textOf(markup)).toContain('days hours minutes seconds');
});

test('the field of a number has its unit behind it, and no choice', () => {
  const markup = rendered(createElement(AmountInput, { label: 'Cores', unit: 'cores', value: 0.5, onChange: ignore }));
  expect(markup).toMatch(/<input[^>]* value="0.5 cores"/);
  expect(markup).not.toContain('<select');
});

test('the switch with three positions names the inherited value', () => {
  const markup = rendered(
    createElement(ThreeWay, { label: 'Audio', value: null, inherited: true, disabled: false, onChange: ignore }),
  );
  expect(textOf(markup)).toBe('Deny Inherit (yes) Allow');
  expect(markup).toMatch(/value="inherit"[^>]*checked=""|checked=""[^>]*value="inherit"/);
});

test('the bar lists each change before and after, with Discard and Save', () => {
  const changes = [{ name: 'limit', title: 'Time limit', before: 'Default (12 hours)', after: '90 minutes' }];
  const bar = { changes, isSaving: false, onSave: ignore, onDiscard: ignore };
  const markup = rendered(createElement(ChangesBar, bar));
  expect(textOf(markup)).toContain('1 unsaved change Time limit: Default (12 hours) → 90 minutes Discard Save');
  expect(markup).not.toContain('disabled=""');
  const refused = rendered(createElement(ChangesBar, { ...bar, problems: 1, error: 'The database is away.' }));
  expect(textOf(refused)).toContain('One value cannot be saved. Correct it. Not saved. The database is away.');
  expect(refused).toContain('disabled=""');
});

test('without changes, there is no bar', () => {
  const bar = { changes: [], isSaving: false, onDiscard: ignore };
  expect(textOf(rendered(createElement(ChangesBar, bar)))).toBe('');
});

test('a setting has its title, its name, its value and the way back to the default', () => {
  const setting = {
    name: 'session_idle_s',
    title: 'Log-in idle time',
    kind: 'int',
    unit: 's',
    description: 'Time without an open console',
    default: 3600,
  } as Setting;
  const row = { draft: {}, fallback: 'Default', disabled: false, problem: undefined, onChange: ignore } as const;
  const of = (own: unknown) =>
    rendered(createElement(SettingRow, { ...row, item: { setting, own, inherited: 3600 }, onInvalid: ignore }));
  expect(textOf(of(null))).toContain('Log-in idle time session_idle_s Time without an open console');
  expect(of(null)).toMatch(/<input[^>]* value="1"/);
  expect(of(null)).not.toContain('Reset to default');
  expect(of(5400)).toContain('aria-label="Reset to default: Log-in idle time"');
});

test('a preview says what fits, and who matches', () => {
  const text = (element: ReactElement) => textOf(rendered(element));
  expect(text(createElement(RoomLine, { room: { sessions: 4, reason: '' } }))).toBe(
    'Fits: 4 more sessions at the moment',
  );
  const reason = 'agent-1 has 8 of 8 cores free, 64 are needed';
  expect(text(createElement(RoomLine, { room: { sessions: 0, reason } }))).toBe(`Fits: none at the moment. ${reason}.`);
  expect(text(createElement(UsersLine, { users: 10, children: '10 of 12 users match' }))).toBe('10 of 12 users match');
});
