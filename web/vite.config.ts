import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { mantineStyles } from './mantineStyles';
import { translated } from './translated';

const OVERLAYS =
  /@mantine\/(notifications|core\/esm\/components\/(Popover|Menu|Tooltip|Modal|ModalBase|FocusTrap|Notification)\/)|@floating-ui\//;

/** Writes the assets also compressed with Brotli and gzip, as far as these can. nginx sends these files as they are. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    writeBundle({ dir = '' }) {
      const assets = join(dir, 'assets');
      for (const name of readdirSync(assets).filter((each) => /\.(css|js|svg)$/.test(each))) {
        const content = readFileSync(join(assets, name));
        writeFileSync(join(assets, `${name}.br`), brotliCompressSync(content)); // its default quality is the best one
        writeFileSync(join(assets, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}

/** Links the code of the first page in the document, so that it is loaded beside the catalog of the language. */
function startSooner(): Plugin {
  return {
    name: 'start-sooner',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(_html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((each) => each.type === 'chunk');
        const start = chunks.find((each) => each.facadeModuleId?.endsWith('/src/start.tsx'));
        const entry = chunks.find((each) => each.facadeModuleId?.endsWith('/index.html'));
        if (!start || entry?.imports.includes(start.fileName))
          throw new Error('src/start.tsx must be a part of its own');
        const scripts = [start.fileName, ...start.imports];
        const sheets = [...(start.viteMetadata?.importedCss ?? [])];
        return [
          ...scripts.map((name) => ({
            tag: 'link',
            attrs: { rel: 'modulepreload', crossorigin: true, href: `/${name}` },
          })),
          ...sheets.map((name) => ({ tag: 'link', attrs: { rel: 'stylesheet', crossorigin: true, href: `/${name}` } })),
        ];
      },
    },
  };
}

/** Parts of the administration have names by which the test of the weight finds them. */
function nameOf({ moduleIds }: { moduleIds: string[] }): string {
  const isAdministration = moduleIds.some((id) => id.includes('/src/pages/admin/'));
  return `assets/${isAdministration ? 'admin-' : ''}[name]-[hash].js`;
}

// The built console travels in the Python wheel; the gateway serves it from there.
export default defineConfig({
  plugins: [mantineStyles(), ...translated, react(), compressed(), startSooner()],
  build: {
    target: 'es2022',
    outDir: '../src/greenroom/gateway/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    // The polyfill would be part of the first page, which the entry would then run before the language is chosen.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // The code of the first page is an entry, too, so that it is split as one (`$initial`).
      input: ['index.html', 'src/start.tsx'],
      output: {
        chunkFileNames: nameOf,
        codeSplitting: {
          groups: [
            // The language is chosen before any other code runs.
            {
              name: 'language',
              test: /\/src\/(language|kept)\.ts$|node_modules\/(@lingui\/(core|message-utils)|@messageformat)\//,
            },
            // What changes rarely, which browsers keep when the console is updated.
            { name: 'react', test: /node_modules\/(react|react-dom|react-router|scheduler)\//, tags: ['$initial'] },
            // What the launcher needs. The other parts are loaded when a page needs them.
            { name: 'index', test: /^(?!.*\/(main\.tsx|index\.html)$)/, tags: ['$initial'] },
            // What menus, dialogs, hints and notices need, so that the first one loads little.
            { name: 'overlays', test: OVERLAYS },
            // What further pages need. Each page is a part, and what few pages share is a part, too.
            { name: 'libraries', test: /node_modules\/(?!uplot\/)/ },
            { name: 'components', test: /\/src\/(components|charts\/(?!Plot)|api|app)\//, minShareCount: 3 },
          ],
        },
      },
    },
  },
  server: {
    // The console of these sources on a running instance, which `script/dev` names.
    proxy: Object.fromEntries(
      ['/api', '/help'].map((path) => [
        path,
        { target: process.env.GREENROOM_URL ?? 'https://127.0.0.1:8443', secure: false, changeOrigin: true },
      ]),
    ),
  },
});
