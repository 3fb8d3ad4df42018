import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright';
import { build, preview } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The built site on a server of its own, in a real browser. */
export interface Site {
  readonly url: string;
  /** A page of a fresh context, once the embedded model is ready. What the page logs as an error is collected. */
  open(options?: BrowserContextOptions): Promise<{ page: Page; errors: string[] }>;
  /** Ends the server alone: the page is offline from then on. */
  goOffline(): Promise<void>;
  close(): Promise<void>;
}

/** Builds the site and starts it. `executablePath`: the Chromium to run. */
export async function startSite(executablePath: string): Promise<Site> {
  const outDir = await mkdtemp(join(tmpdir(), 'mamba-web-'));
  const configFile = join(root, 'vite.config.ts');
  // vitest says `test`, and the site would be built for development.
  process.env.NODE_ENV = 'production';
  await build({ configFile, logLevel: 'warn', build: { outDir, emptyOutDir: true } });
  const server = await preview({
    configFile,
    logLevel: 'warn',
    build: { outDir },
    preview: { port: 0, host: '127.0.0.1' },
  });
  const browser: Browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-background-networking', '--disable-gpu'],
  });
  const url = server.resolvedUrls!.local[0]!;
  return {
    url,
    async open(options = {}) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
      await page.goto(url);
      await page.getByText(/million parameters|could not be opened/).waitFor();
      const failure = page.getByRole('alert');
      if (await failure.count()) throw new Error((await failure.textContent()) ?? '');
      return { page, errors };
    },
    goOffline: () => server.close(),
    async close() {
      await browser.close();
      await server.close();
      await rm(outDir, { recursive: true });
    },
  };
}
