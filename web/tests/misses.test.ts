import { expect, test } from 'vitest';
import { reasonsText } from '../src/pages/admin/staging/misses';

test('the reasons of excluded users are the settings of the pool that serves them', () => {
  const permissions = { allow_kasm_downloads: false, allow_kasm_clipboard_up: true };
  expect(reasonsText({ reasons: Object.keys(permissions), permissions })).toBe('Downloads off, Clipboard Up on');
});

test('without such a pool, the reasons are those of rules', () => {
  const reasons = ['expose_user_environment_vars', 'rule_of_a_later_version'];
  expect(reasonsText({ reasons, permissions: null })).toBe(
    'Environment variables of the user, rule of a later version',
  );
});
