import { describe, expect, test } from 'vitest';
import type { Image } from '../src/api/types';
import { changed } from '../src/components/saving';
import { offered } from '../src/components/sessionActions';
import { sinceOf } from '../src/pages/admin/diagnostics/logFilter';
import { wordsOf } from '../src/pages/admin/staging/misses';
import { bodyOf, fieldsOf } from '../src/pages/admin/workspaces/fields';

describe('the form of a workspace', () => {
  const image = {
    name: 'greenroom/desktop:xfce',
    memory: 2_768_000_000,
    memory_limit: null,
    disk_limit_bytes: 10_000_000_000,
    run_config: { hostname: 'desk' },
    exec_config: {},
    volume_mappings: {},
    zone_id: null,
    session_time_limit: null,
  } as unknown as Image;

  test('saved as it was opened it says what the api said', () => {
    expect(bodyOf(fieldsOf(image))).toMatchObject(image);
  });

  test('sends nothing that was not edited', () => {
    const before = fieldsOf({ ...image, memory_limit: 2 ** 30, disk_limit_bytes: 2 ** 33 });
    expect(changed(bodyOf(before), bodyOf({ ...before, cores: 3 }))).toEqual({ cores: 3 });
  });

  test('sends no limit for an empty field', () => {
    const fields = { ...fieldsOf(image), memory_limit: '', disk_limit_bytes: '' } as const;
    expect(bodyOf(fields)).toMatchObject({ memory_limit: null, disk_limit_bytes: null });
  });

  test('sends a token of the registry only when one was typed', () => {
    expect(bodyOf(fieldsOf(null))).not.toHaveProperty('docker_token');
    expect(bodyOf({ ...fieldsOf(null), docker_token: 'secret' })).toHaveProperty('docker_token', 'secret');
  });

  test('refuses JSON that cannot be used', () => {
    expect(() => bodyOf({ ...fieldsOf(null), run_config: '[' })).toThrow('This is not JSON');
  });
});

test('the span of a log begins at a whole minute, so that the same is asked again', () => {
  const now = Date.parse('2026-01-02T12:34:56Z');
  expect(sinceOf('15m', now)).toBe('2026-01-02T12:19:00.000Z');
  expect(sinceOf('15m', now + 3_000)).toBe(sinceOf('15m', now));
  expect(sinceOf('', now)).toBeUndefined();
});

test('actions on a session are offered in one order, and only those the server allows', () => {
  expect(offered(['delete', 'pause'])).toEqual(['pause', 'delete']);
});

test('a code of a newer server is shown as words', () => {
  expect([wordsOf('pool_empty'), wordsOf('on_the_moon')]).toEqual(['No staged session was free', 'on the moon']);
});
