import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import { Marked } from '../src/components/Marked';
import {
  permissionTitle,
  settingTitle,
  withoutSettings,
  withSettingTitles,
  withTitles,
} from '../src/components/titles';

test.each([
  ['allow_kasm_clipboard_down', 'Clipboard Down'],
  ['max_kasms_per_user', 'Maximum sessions per user'],
  ['inject_ssh_keys', 'Inject SSH keys'],
  ['session_lifetime_s', 'Log-in lifetime'],
  ['control_away_s', 'Control return time'],
  ['max_upload_mb', 'Maximum upload'],
  ['setting_of_a_later_version', 'setting_of_a_later_version'],
])('the title of %s is %s', (name, title) => expect(settingTitle(name)).toBe(title));

test('the names of permissions in a sentence become titles', () => {
  expect(withTitles('Sessions may not be shared: `allow_kasm_sharing` = false by default.')).toBe(
    'Sessions may not be shared: Sharing is off by default.',
  );
  expect(withTitles('allow_kasm_downloads is off for the user, allow_kasm_audio on in the staging config.')).toBe(
    'Downloads is off for the user, Audio on in the staging config.',
  );
});

test('a reason has the titles of its settings, and none of them for users', () => {
  const reason = 'Its time is limited to 1 hour: `keepalive_expiration` = 3600 by default.';
  expect(withSettingTitles(reason)).toBe('Its time is limited to 1 hour: Keepalive expiration = 3600 by default.');
  expect(withoutSettings(reason)).toBe('Its time is limited to 1 hour.');
  expect(withoutSettings('It ends with its lease.')).toBe('It ends with its lease.');
});

test('a description names other settings by their titles', () => {
  const text = 'With `allow_kasm_sharing`: at most 5 within `login_window_s`.';
  const shown = renderToStaticMarkup(createElement(Marked, { text })).replace(/<[^>]+>/g, '');
  expect(shown).toBe('With Sharing: at most 5 within Log-in attempt window.');
});

test.each([
  ['Change groups, their members, workspaces and settings', 'Change groups'],
  ['Use the launcher: own sessions, own account', 'Use the launcher'],
  ['See users', 'See users'],
])('the title of the permission "%s" is %s', (description, title) => expect(permissionTitle(description)).toBe(title));
