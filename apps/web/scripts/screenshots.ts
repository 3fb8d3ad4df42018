// Pictures of the playground for docs/screenshots/: `pnpm --filter web screenshots`.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { ensureBrowser } from '../../../scripts/browser.mjs';
import { startFileServer } from '../test/file-server.ts';
import { randomGguf } from '../test/random-gguf.ts';
import { startSite } from '../test/site.ts';

const folder = fileURLToPath(new URL('../../../docs/screenshots/', import.meta.url));
const site = await startSite((await ensureBrowser())!);

async function picture(page: Page, name: string): Promise<void> {
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(200);
  await page.screenshot({ path: `${folder}${name}.png`, animations: 'disabled' });
}

async function write(page: Page, tokens: number): Promise<void> {
  await page.getByLabel('Length').fill(String(tokens));
  await page.getByLabel('Seed').fill('7');
  await page.getByRole('button', { name: 'Write' }).click();
}

const done = (page: Page) => page.getByText('reached the length asked for').waitFor();

for (const [name, options] of [
  ['wide', { viewport: { width: 1280, height: 1160 }, colorScheme: 'light' }],
  ['dark', { viewport: { width: 1280, height: 1160 }, colorScheme: 'dark' }],
  ['narrow', { viewport: { width: 390, height: 1640 }, colorScheme: 'light' }],
] as const) {
  const { page } = await site.open(options);
  await write(page, 2000);
  await done(page);
  await page.getByRole('region', { name: 'What the model wrote' }).evaluate((element) => element.scrollTo(0, 0));
  await picture(page, name);
  await page.context().close();
}

const generating = (await site.open({ viewport: { width: 1280, height: 1160 }, colorScheme: 'light' })).page;
await write(generating, 20_000);
await generating.waitForTimeout(4000);
await picture(generating, 'generating');
await generating.context().close();

const inside = (await site.open({ viewport: { width: 1280, height: 1500 }, colorScheme: 'light' })).page;
await inside.getByRole('link', { name: 'Inside' }).click();
await inside.getByRole('button', { name: 'Look inside' }).click();
await inside.getByRole('img', { name: /^Hidden attention/ }).waitFor();
await picture(inside, 'inside');
await inside.getByRole('region', { name: 'Who reads whom' }).evaluate((element) => element.scrollIntoView());
await picture(inside, 'inside-attention');
await inside.context().close();

// A run under way, and what comes of it.
for (const [name, options] of [
  ['train', { viewport: { width: 1280, height: 1000 }, colorScheme: 'light' }],
  ['train-dark', { viewport: { width: 1280, height: 1000 }, colorScheme: 'dark' }],
  ['train-narrow', { viewport: { width: 390, height: 1480 }, colorScheme: 'light' }],
] as const) {
  const training = (await site.open(options)).page;
  await training.getByRole('link', { name: 'Train' }).click();
  await training.getByRole('button', { name: 'Train', exact: true }).click();
  await training.waitForTimeout(20_000);
  if (name !== 'train') {
    await training.getByRole('button', { name: 'Stop' }).click();
    await training.getByRole('button', { name: 'Train another' }).waitFor();
  }
  await picture(training, name);
  await training.context().close();
}

// A download on its way, cancelled, and what is kept beside it.
const models = await startFileServer('/random-20m.F16.gguf', randomGguf({ layers: 3, width: 1024 }));
const opening = (await site.open({ viewport: { width: 1280, height: 1000 }, colorScheme: 'light' })).page;
const openPanel = (): Promise<void> => opening.getByRole('button', { name: 'Open another model' }).click();
await openPanel();
await opening.getByLabel('From the hub').fill(models.url);
await opening.getByRole('button', { name: 'Download', exact: true }).click();
await opening.getByRole('heading', { name: 'random-20m.F16', exact: true }).waitFor();
await models.close();
const second = await startFileServer('/random-160m.F16.gguf', randomGguf({ layers: 6, width: 2048 }));
second.allow(60e6);
const stream = setInterval(() => second.allow(1e6), 100);
await openPanel();
await opening.getByLabel('From the hub').fill(second.url);
await opening.getByRole('button', { name: 'Download', exact: true }).click();
await opening.getByText(/ left$/).waitFor();
await opening.waitForTimeout(2000);
await picture(opening, 'downloading');
await opening.getByRole('button', { name: 'Cancel' }).click();
clearInterval(stream);
await openPanel();
await opening.getByRole('listitem').getByText(/ of /).waitFor();
await picture(opening, 'models');
await opening.setViewportSize({ width: 390, height: 1420 });
await picture(opening, 'models-narrow');
await second.close();
await opening.context().close();

const failing = (await site.open({ viewport: { width: 1280, height: 1000 }, colorScheme: 'light' })).page;
const parent = await mkdtemp(join(tmpdir(), 'mamba-'));
const broken = join(parent, 'bert-base');
await mkdir(broken);
await writeFile(join(broken, 'config.json'), '{"model_type": "bert"}');
await writeFile(join(broken, 'model.safetensors'), Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 123, 125));
await failing.getByLabel('Model folder').setInputFiles(broken);
await failing.getByRole('alert').waitFor();
await picture(failing, 'error');
await site.close();
await rm(parent, { recursive: true });
