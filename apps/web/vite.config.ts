import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { preact } from '@preact/preset-vite';
import { defineConfig, type Plugin } from 'vite';

/** Where the embedded model lies under the page. */
const MODEL = 'models/shakespeare-mamba/';
const modelFiles = readdirSync(modelUrl).filter((name) => /\.(json|safetensors)$/.test(name));
const readModelFile = (name: string): Buffer => readFileSync(new URL(name, modelUrl));

/** The embedded model as plain files beside the page: served while developing, copied by the build. */
function embeddedModel(): Plugin {
  return {
    name: 'embedded-model',
    configureServer(server) {
      server.middlewares.use(`/${MODEL}`, (request, response, next) => {
        const name = (request.url ?? '').slice(1);
        if (modelFiles.includes(name)) response.end(readModelFile(name));
        else next();
      });
    },
    generateBundle() {
      for (const name of modelFiles) {
        this.emitFile({ type: 'asset', fileName: MODEL + name, source: readModelFile(name) });
      }
    },
  };
}

/**
 * What the page may do: run its own scripts and WebAssembly, and fetch models from where the visitor says. Only in the
 * build: the development server's own scripts stand inline.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY }, injectTo: 'head-prepend' },
    ],
  };
}

/** The service worker, told what the build holds: every file of it is there offline after the first visit. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      const hash = createHash('sha256');
      const files = Object.values(bundle).map((file) => {
        hash.update(file.fileName).update(file.type === 'chunk' ? file.code : file.source);
        return file.fileName;
      });
      const open = readdirSync(new URL('public/', import.meta.url));
      const source = readFileSync(new URL('src/service-worker.js', import.meta.url), 'utf8')
        .replace('__VERSION__', JSON.stringify(hash.digest('hex').slice(0, 16)))
        .replace('__FILES__', JSON.stringify(['./', ...files.filter((name) => name !== 'index.html'), ...open]));
      this.emitFile({ type: 'asset', fileName: 'service-worker.js', source });
    },
  };
}

/** Shared memory for threads, where a host sends these too. */
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  plugins: [preact(), embeddedModel(), contentSecurityPolicy(), serviceWorker()],
  worker: { format: 'es' },
  build: { target: 'es2024', assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 800 },
  server: { headers },
  preview: { headers },
});
