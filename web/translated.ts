import { transformAsync } from '@babel/core';
import { lingui } from '@lingui/vite-plugin';
import type { Plugin } from 'vite';

/**
 * Replaces the macros of texts, e.g. t`Save`. The code keeps the English texts, so English needs no catalog.
 *
 * The plugin for Babel needs a newer Node.js than the console.
 */
function macros(): Plugin {
  return {
    name: 'macros-of-texts',
    enforce: 'pre',
    async transform(code, id) {
      const [filename = ''] = id.split('?');
      if (!/\.tsx?$/.test(filename) || !/@lingui\/\w+\/macro/.test(code)) return null;
      const result = await transformAsync(code, {
        filename,
        babelrc: false,
        configFile: false,
        sourceMaps: true,
        parserOpts: { plugins: filename.endsWith('x') ? ['typescript', 'jsx'] : ['typescript'] },
        plugins: [['@lingui/babel-plugin-lingui-macro', { stripMessageField: false }]],
      });
      return result?.code ? { code: result.code, map: result.map ?? null } : null;
    },
  };
}

/** Texts of the console in several languages. A catalog with a missing or wrong text stops the build. */
export const translated = [macros(), lingui({ failOnMissing: true, failOnCompileError: true })];
