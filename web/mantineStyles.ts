import { readFileSync } from 'node:fs';
import type { Plugin } from 'vite';

const SHEETS = '@mantine/core/styles';
const WHOLE = `${SHEETS}.layer.css`;
/** What every page needs. Mantine writes its variables at run time. */
const ALWAYS = ['baseline', 'global'];
const ID = '/__mantine.css';
/** A module with the class names of a component. */
const CLASSES = /@mantine\/core\/esm\/.*\/(\w+)\.module\.mjs$/;

/**
 * Gives each part of the bundle the style sheets of the Mantine components in it: a module with class names imports its
 * sheet, and `virtual:mantine.css` has only the common rules. The sheets are in the layer `mantine`, so that the styles of
 * the console win also over sheets that are loaded later. The development server has one sheet with all components.
 */
export function mantineStyles(): Plugin[] {
  return [
    {
      name: 'mantine-styles',
      apply: 'build',
      resolveId: (id) => (id === 'virtual:mantine.css' ? ID : undefined),
      load: (id) => (id === ID ? ALWAYS.map(sheetOf).join('\n') : undefined),
      transform: {
        filter: { id: CLASSES },
        handler(code, id) {
          const [, name = ''] = CLASSES.exec(id) ?? [];
          return { code: `import '${SHEETS}/${name}.layer.css';\n${code}`, map: null };
        },
      },
    },
    {
      name: 'mantine-styles-of-development',
      apply: 'serve',
      resolveId(id) {
        return id === 'virtual:mantine.css' ? this.resolve(WHOLE) : undefined;
      },
    },
  ];
}

function sheetOf(name: string): string {
  return readFileSync(`node_modules/${SHEETS}/${name}.layer.css`, 'utf8');
}
