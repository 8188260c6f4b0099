import { describe, expect, test } from 'vitest';
import { pageAfterLogIn, refusalIn } from '../src/components/refusals';

const SENTENCES = { 'no-user': 'No account is linked.' };

describe('the refusal in the address', () => {
  test('is its sentence', () => {
    expect(refusalIn('?sign-on=no-user', SENTENCES)).toBe('No account is linked.');
  });

  test('is a general sentence for an unknown code, never the text of the address', () => {
    expect(refusalIn('?sign-on=Call+0900', SENTENCES)).toMatch(/^The log-in was refused\./);
    expect(refusalIn('?sign-on=constructor', SENTENCES)).toMatch(/^The log-in was refused\./);
    expect(refusalIn('?sign-on=no-user', undefined)).toMatch(/^The log-in was refused\./);
  });

  test('is absent without the parameter', () => {
    expect(refusalIn('?q=1', SENTENCES)).toBeNull();
  });
});

test('the page after a log-in is the page of the address without the refusal', () => {
  expect(pageAfterLogIn('/admin/users', '?q=a%26b&sign-on=no-user')).toBe('/admin/users?q=a%26b');
  expect(pageAfterLogIn('/', '?sign-on=no-user')).toBe('/');
});
