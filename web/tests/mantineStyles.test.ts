import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mantineStyles } from '../mantineStyles';

const CORE = join(process.cwd(), 'node_modules/@mantine/core');
const MODULES = readdirSync(join(CORE, 'esm'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.module.mjs'))
  .map((path) => join(CORE, 'esm', path));

interface Build {
  load: (id: string) => string | undefined;
  transform: { filter: { id: RegExp }; handler: (code: string, id: string) => { code: string } };
}

const build = mantineStyles()[0] as unknown as Build;

test('each module with class names of Mantine imports its style sheet', () => {
  expect(MODULES.length).toBeGreaterThan(50);
  for (const id of MODULES) {
    expect(id).toMatch(build.transform.filter.id);
    const [, sheet = ''] = /^import '@mantine\/core\/(.+)';\n/.exec(build.transform.handler('', id).code) ?? [];
    expect(existsSync(join(CORE, sheet)), sheet).toBe(true);
  }
});

test('the common style sheet has the rules of no component', () => {
  expect(build.load('/__mantine.css')).toContain('box-sizing');
  expect(build.load('/__mantine.css')).not.toMatch(/\.m_[0-9a-f]+/);
});
