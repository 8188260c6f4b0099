import { expect, test } from 'vitest';
import { sent, valuesOf as valuesOfDirectory } from '../src/pages/admin/signon/directories';
import { sentAttributes, sentRules, stepTitle, valuesOf } from '../src/pages/admin/signon/steps';

test('a step without a title is shown by its name', () => {
  expect(stepTitle('client')).toBe('Check the client secret');
  expect(stepTitle('new-step')).toBe('new-step');
});

test('only attributes with a claim are sent', () => {
  expect(sentAttributes({ username: ' upn ', first_name: '', phone: '  ' })).toEqual({ username: 'upn' });
});

test('incomplete rules are not sent', () => {
  const rule = { claim: 'groups', value: 'staff', group_id: 'g' };
  expect(sentRules([rule, { ...rule, value: ' ' }, { ...rule, group_id: '' }])).toEqual([rule]);
});

test('a new provider creates no users and has no rules', () => {
  const values = valuesOf(null);
  expect(values.create_users).toBe(false);
  expect(values.rules).toEqual([]);
  expect(values.attributes).toHaveProperty('username', '');
});

test('an empty password of a directory is sent as none', () => {
  const values = valuesOfDirectory(null);
  expect(sent(values).password).toBeNull();
  expect(sent({ ...values, password: 'secret' }).password).toBe('secret');
});
