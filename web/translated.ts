import { transformAsync } from '@babel/core';
import { makeConfig } from '@lingui/conf';
import { lingui } from '@lingui/vite-plugin';
import type { Plugin } from 'vite';
import texts, { FIRST } from './lingui.config';

/** The texts are messages of the console's own component, which keeps markup out of values. */
const linguiConfig = makeConfig({
  ...texts,
  runtimeConfigModule: { Trans: [`${import.meta.dirname}/src/components/Trans`, 'Trans'] },
});

/**
 * Replaces the macros of texts, e.g. t`Save`. The code keeps the English texts, so English needs no catalog.
 *
 * The plugin for Babel needs a newer Node.js than the console.
 */
function macros(): Plugin {
  const withTexts = new Set<string>();
  return {
    name: 'macros-of-texts',
    enforce: 'pre',
    async transform(code, id) {
      const [filename = ''] = id.split('?');
      if (!/\.tsx?$/.test(filename) || !/@lingui\/\w+\/macro/.test(code)) return null;
      withTexts.add(filename);
      const result = await transformAsync(code, {
        filename,
        babelrc: false,
        configFile: false,
        sourceMaps: true,
        parserOpts: { plugins: filename.endsWith('x') ? ['typescript', 'jsx'] : ['typescript'] },
        plugins: [['@lingui/babel-plugin-lingui-macro', { stripMessageField: false, linguiConfig }]],
      });
      return result?.code ? { code: result.code, map: result.map ?? null } : null;
    },
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((each) => each.type === 'chunk');
      const first = chunks.find(({ moduleIds }) => moduleIds.some((id) => id.endsWith('/src/start.tsx')));
      const other = first?.moduleIds.find(
        (id) => withTexts.has(id) && !FIRST.some((path) => id.startsWith(`${import.meta.dirname}/${path}`)),
      );
      if (other) this.error(`The first page needs the texts of ${other}: add it to FIRST in lingui.config.ts.`);
    },
  };
}

/** Texts of the console in several languages. A catalog with a missing or wrong text stops the build. */
export const translated = [macros(), lingui({ failOnMissing: true, failOnCompileError: true })];
