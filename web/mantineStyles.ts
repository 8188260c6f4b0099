import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { Plugin } from 'vite';

const CORE = 'node_modules/@mantine/core';
const ID = '/__mantine.css';
/** The files that every page needs. Mantine writes its variables at run time. */
const ALWAYS = ['baseline', 'global'];
const IMPORTS = /import (?:type )?\{([^}]*)\} from ["']@mantine\/core["']/g;
const PARTS = /(?:from|import) "(\.[^"]+)"/g;

/** Serves `virtual:mantine.css`: the style sheets of Mantine's components that the console uses, in Mantine's order. */
export function mantineStyles(): Plugin {
  return {
    name: 'mantine-styles',
    resolveId: (id) => (id === 'virtual:mantine.css' ? ID : undefined),
    load: (id) => (id === ID ? styleSheet() : undefined),
  };
}

function styleSheet(): string {
  const whole = readFileSync(join(CORE, 'styles.css'), 'utf8');
  const sheets = [...ALWAYS, ...componentsOf(namesIn(['src', 'node_modules/@mantine/notifications/esm']))]
    .map((name) => join(CORE, 'styles', `${name}.css`))
    .filter(existsSync)
    .map((path) => readFileSync(path, 'utf8').trim());
  return [...new Set(sheets)]
    .sort((a, b) => whole.indexOf(a.slice(0, 120)) - whole.indexOf(b.slice(0, 120)))
    .join('\n');
}

/** The names that the files of some folders import from Mantine. */
function namesIn(folders: string[]): string[] {
  return folders
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)))
    .filter((path) => /\.(ts|tsx|mjs)$/.test(path))
    .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(IMPORTS)])
    .flatMap(([, names = '']) => names.split(','))
    .map((name) => name.trim().split(' as ')[0] ?? '');
}

/** The components with a style sheet that these exports of Mantine use, also indirectly. */
function componentsOf(names: string[]): Set<string> {
  const index = readFileSync(join(CORE, 'esm/index.mjs'), 'utf8');
  const exported = new Map<string, string>();
  for (const [, list = '', path = ''] of index.matchAll(/import \{([^}]*)\} from "(\.[^"]+)"/g))
    for (const name of list.split(',')) exported.set(name.trim().split(' as ').at(-1) ?? '', join(CORE, 'esm', path));
  const components = new Set<string>();
  const seen = new Set<string>();
  const waiting = names.flatMap((name) => exported.get(name) ?? []);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path) || !existsSync(path)) continue;
    seen.add(path);
    for (const [, part = ''] of readFileSync(path, 'utf8').matchAll(PARTS)) {
      const next = normalize(join(dirname(path), part));
      const sheet = /([^/]+)\.module(?:\.css)?\.mjs$/.exec(next);
      if (sheet?.[1]) components.add(sheet[1]);
      waiting.push(next);
    }
  }
  return components;
}
