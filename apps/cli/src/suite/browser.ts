import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { delimiter, extname, join, normalize, sep } from 'node:path';
import { env } from 'node:process';
import { pathToFileURL } from 'node:url';
import { MambaError } from '@mamba-ts/tensor';
import { installed } from './install.ts';

const PLAYWRIGHT = '1.65.1';
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const TYPES: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.wasm': 'application/wasm' };
/** With these a page may share memory between threads. */
const HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};

/** As much of playwright's Page as is used. */
export interface Page {
  goto(address: string): Promise<unknown>;
  evaluate<A, R>(work: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
}

interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

/** A page in a Chromium of its own, with folders of this machine below its address. */
export interface OpenPage {
  readonly page: Page;
  close(): Promise<void>;
}

/**
 * Opens an empty, cross-origin isolated page and prepares it; where that fails, all is closed. `folders` are served by name,
 * and the file `model` as `/model`. Throws `PEER_INSTALL` without Chromium or where playwright-core cannot be had.
 */
export async function openPage(
  folders: Readonly<Record<string, string>>,
  model: string,
  prepare: (page: Page) => Promise<void>,
  signal: AbortSignal,
): Promise<OpenPage> {
  const executablePath = await findChromium();
  const place = await installed({ 'playwright-core': PLAYWRIGHT }, signal);
  const entry = createRequire(join(place, 'package.json')).resolve('playwright-core');
  const { chromium } = (await import(pathToFileURL(entry).href)).default;
  const server = await serve(folders, model);
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', close);
    await browser?.close();
    server.closeAllConnections();
    server.close();
  };
  signal.addEventListener('abort', close, { once: true });
  try {
    // Signals are this program's: it has files of its own to remove.
    const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
    browser = (await chromium.launch({ executablePath, args: ['--no-sandbox'], ...signals })) as Browser;
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await prepare(page);
    return { page, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function findChromium(): Promise<string> {
  const folders = (env.PATH ?? '').split(delimiter);
  const places = [env.CHROME_PATH, ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))];
  for (const place of places) {
    if (!place) continue;
    try {
      await access(place, constants.X_OK);
      return place;
    } catch {
      // The next one.
    }
  }
  throw new MambaError('PEER_INSTALL', 'no Chromium was found: install Chromium or Chrome, or name one in CHROME_PATH');
}

async function serve(folders: Readonly<Record<string, string>>, model: string): Promise<Server> {
  const server = createServer(async ({ url }, response) => {
    const path = decodeURIComponent(new URL(url ?? '/', 'http://localhost').pathname);
    if (path === '/') {
      response.writeHead(200, { ...HEADERS, 'content-type': 'text/html' });
      response.end('<!doctype html><title>mamba bench</title>');
      return;
    }
    const [name = '', ...rest] = path.slice(1).split('/');
    const folder = folders[name];
    const file = path === '/model' ? model : folder && normalize(join(folder, ...rest));
    const size = file && (path === '/model' || file.startsWith(folder + sep)) ? await sizeOf(file) : null;
    if (!file || size === null) {
      response.writeHead(404, HEADERS);
      response.end();
      return;
    }
    const type = TYPES[extname(file)] ?? 'application/octet-stream';
    response.writeHead(200, { ...HEADERS, 'content-type': type, 'content-length': size });
    // A file that cannot be read ends the answer early, which the page says.
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

async function sizeOf(file: string): Promise<number | null> {
  try {
    const found = await stat(file);
    return found.isFile() ? found.size : null;
  } catch {
    return null;
  }
}
