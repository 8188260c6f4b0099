import { expect, test } from 'vitest';
import { agentStatus, GREEN, managerStatus, statusWord } from '../src/components/StatusBadge';

test('only what is ready or live is green', () => {
  expect(GREEN).toEqual(['running', 'ready']);
});

test.each([
  ['disabled', 'disabled'],
  ['draining', 'draining'],
  ['runtime', 'accepts nothing (runtime)'],
  ['disk', 'accepts nothing (disk)'],
] as const)('a running Agent that is closed by its %s is not green', (code, word) => {
  const status = agentStatus({ status: 'running', closed: { code, reason: '' } });
  expect(GREEN).not.toContain(status);
  expect(statusWord(status)).toBe(word);
});

test('a Manager is disabled, running or unknown', () => {
  expect(agentStatus({ status: 'missing', closed: { code: 'status', reason: '' } })).toBe('missing');
  expect(managerStatus({ enabled: false, running: false })).toBe('unknown (disabled)');
  expect(managerStatus({ enabled: true, running: true })).toBe('running');
  expect(managerStatus({ enabled: true, running: false })).toBe('unknown');
});
