import { expect, test } from 'vitest';
import { kindOf } from '../src/components/workspaceKind';

test.each([
  ['CAD workstation, release 2026 autumn term', 'desktop'],
  ['Knowledge base', 'desktop'],
  ['Terminal', 'terminal'],
  ['Web shell (small)', 'terminal'],
  ['Chromium 142', 'browser'],
])('the icon of %s is that of a %s', (name, kind) => expect(kindOf(name)).toBe(kind));
