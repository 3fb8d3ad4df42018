/** A page that generates text in a worker, bundled by Vite and by esbuild and loaded in Chromium. */
import { cpSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { ensureBrowser } from '../browser.mjs';
import { root } from '../setup.mjs';
import { tool } from '../tools.mjs';
import { expect, run, write } from './shell.mjs';
import { greedy } from './use.mjs';

const SCRIPT = `import { fromPretrained } from 'mamba-ts';

try {
  const model = await fromPretrained('shakespeare-mamba/');
  const { text } = await model.generate('ROMEO:', { temperature: 0, maxTokens: 12 });
  await model.dispose();
  document.querySelector('output').textContent = \`\${model.info.backend.name.slice(0, 4)}: \${text}\`;
} catch (error) {
  document.querySelector('output').textContent = String(error.stack);
}
`;
const page = (script) =>
  `<!doctype html><link rel="icon" href="data:,"><title>A stranger's page</title><output></output><script type="module" src="${script}"></script>\n`;

const TEXT = `wasm: ${greedy.text}`;

/** What the model's files and the .wasm files need; the rest of a static host's types is the same everywhere. */
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

const copyModel = (project, folder) =>
  cpSync(
    join(project, 'node_modules/@mamba-ts/model-shakespeare/shakespeare-mamba'),
    join(folder, 'shakespeare-mamba'),
    {
      recursive: true,
    },
  );

/** Vite finds the worker and the .wasm files by itself. */
export async function bundleWithVite(project) {
  write(join(project, 'main.js'), SCRIPT);
  write(join(project, 'index.html'), page('/main.js'));
  copyModel(project, join(project, 'public'));
  await run(tool('vite'), ['build', '--base', './', '--outDir', 'with-vite'], { cwd: project });
  return join(project, 'with-vite');
}

/** esbuild follows no addresses: the recipe in the README of mamba-ts. */
export async function bundleWithEsbuild(project) {
  const site = join(project, 'with-esbuild');
  write(join(project, 'main.js'), SCRIPT);
  const options = [
    '--bundle',
    '--splitting',
    '--format=esm',
    '--outdir=with-esbuild/assets',
    '--out-extension:.js=.mjs',
  ];
  await run(tool('esbuild'), ['main.js', 'worker=mamba-ts/worker', ...options, '--log-level=warning'], {
    cwd: project,
  });
  cpSync(join(project, 'node_modules/@mamba-ts/kernels/wasm'), join(site, 'wasm'), { recursive: true });
  write(join(site, 'index.html'), page('assets/main.mjs'));
  copyModel(project, site);
  return site;
}

/** Serves a folder from a subfolder of this machine's address, as static hosts do. */
async function serve(site) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname).replace(/^\/site/, '');
    const file = join(site, path === '/' ? 'index.html' : path);
    try {
      const bytes = readFileSync(file);
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}/site/`, close: () => server.close() };
}

/** Loads both sites, and compares the text on the page with what Node writes. */
export async function loadInBrowser(sites) {
  const executablePath = await ensureBrowser();
  if (!executablePath) return 'SKIPPED: no Chromium';
  const { chromium } = createRequire(join(root, 'package.json'))('playwright');
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-background-networking'] });
  try {
    for (const site of sites) {
      const { address, close } = await serve(site);
      const said = [];
      const tab = await browser.newPage();
      tab.on('console', (message) => said.push(message.text()));
      tab.on('pageerror', (error) => said.push(String(error)));
      tab.on('response', (response) => response.ok() || said.push(`${response.status()} ${response.url()}`));
      await tab.goto(address);
      const written = () => document.querySelector('output').textContent !== '';
      await tab.waitForFunction(written, null, { timeout: 60_000 }).catch(() => {
        throw new Error(`the page of ${site} showed nothing in 60 s: ${said.join('\n')}`);
      });
      expect(await tab.textContent('output'), TEXT, `the page of ${site} (${said.join('; ')})`);
      await tab.close();
      close();
    }
  } finally {
    await browser.close();
  }
  return `${sites.length} pages`;
}
