import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { mantineStyles } from './mantineStyles';

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

// The built console travels in the Python wheel; the gateway serves it from there.
export default defineConfig({
  plugins: [mantineStyles(), react(), compressed()],
  build: {
    target: 'es2022',
    outDir: '../src/greenroom/gateway/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            // What changes rarely, which browsers keep when the console is updated.
            { name: 'react', test: /node_modules\/(react|react-dom|react-router|scheduler|@tanstack)\// },
            // What every page needs, then one part for all pages that are loaded when one of them is opened.
            { name: 'index', tags: ['$initial'] },
            // The library of charts, which only pages with charts load.
            { name: 'charts', test: /node_modules\/uplot\/|src\/charts\/Plot/ },
            { name: 'pages' },
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
