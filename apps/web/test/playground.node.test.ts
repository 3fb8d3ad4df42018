import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained } from 'mamba-ts/node';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectAccessible } from './accessible.ts';
import { expectNoLongTask } from './long-tasks.ts';
import { type Site, startSite } from './site.ts';

// `npm test` names the browser; where there is none it has said so loudly.
const chromium = process.env.MAMBA_CHROMIUM;
const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));

const writtenBy = (page: Page) => page.locator('#written').textContent();
const finished = (page: Page) => page.getByText('reached the length asked for').waitFor();

async function set(page: Page, settings: { temperature?: number; length?: number; seed?: number; prompt?: string }) {
  if (settings.prompt !== undefined) await page.getByLabel('How the text begins').fill(settings.prompt);
  if (settings.temperature !== undefined) await page.getByLabel('Temperature').fill(String(settings.temperature));
  if (settings.length !== undefined) await page.getByLabel('Length').fill(String(settings.length));
  if (settings.seed !== undefined) await page.getByLabel('Seed').fill(String(settings.seed));
}

const write = (page: Page) => page.getByRole('button', { name: 'Write' }).click();

describe.skipIf(!chromium)('the playground in Chromium', () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite(chromium!);
  });
  afterAll(() => site?.close());

  test.each([
    ['greedy', { temperature: 0, seed: 1 }],
    ['sampled', { temperature: 0.9, seed: 12345 }],
  ])('%s: the same text as in Node, id for id', async (_, { temperature, seed }) => {
    const { page, errors } = await site.open();
    await set(page, { prompt: 'ROMEO:', temperature, seed, length: 100 });
    await write(page);
    await finished(page);
    const model = await fromPretrained(modelUrl);
    const expected = await model.generate('ROMEO:', { temperature, seed, maxTokens: 100 });
    const text = await writtenBy(page);
    expect(text).toBe(expected.text);
    expect(await model.tokenize(`ROMEO:${text}`)).toEqual(await model.tokenize(`ROMEO:${expected.text}`));
    await model.dispose();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('stop ends the text within a token or two, and the page can write again', async () => {
    const { page } = await site.open();
    await set(page, { length: 20_000, seed: 1 });
    await write(page);
    await page.waitForFunction(() => (document.querySelector('#written')?.textContent?.length ?? 0) > 100);
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('stopped', { exact: true }).waitFor();
    const text = await writtenBy(page);
    await page.waitForTimeout(200);
    expect(await writtenBy(page)).toBe(text);
    await set(page, { length: 50 });
    await write(page);
    await finished(page);
    await page.context().close();
  });

  test('no task over 50 ms on the main thread while generating 3,000 tokens', async () => {
    const { page } = await site.open();
    await set(page, { length: 3000, seed: 1 });
    await expectNoLongTask(page, async () => {
      await write(page);
      await finished(page);
    });
    await page.context().close();
  });

  test('after the first visit it works without a network', async () => {
    const own = await startSite(chromium!);
    const { page, errors } = await own.open();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await own.goOffline();
    await page.reload();
    await page.getByText('million parameters').waitFor();
    await set(page, { length: 50, seed: 1 });
    await write(page);
    await finished(page);
    expect(errors).toEqual([]);
    await own.close();
  });

  test('a chosen folder runs; a broken one is explained with a remedy, and the way back works', async () => {
    const { page } = await site.open();
    const broken = await mkdtemp(join(tmpdir(), 'mamba-broken-'));
    await writeFile(join(broken, 'config.json'), '{"model_type": "bert"}');
    await writeFile(join(broken, 'model.safetensors'), Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 123, 125));
    await page.getByLabel('Model folder').setInputFiles(broken);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/bert.*supported: .*mamba.*Choose a checkpoint/s);
    await page.getByRole('button', { name: 'Go back to Shakespeare' }).click();
    await page.getByText('2.9 million parameters').waitFor();
    expect(await alert.count()).toBe(0);
    await page.getByLabel('Model folder').setInputFiles(fileURLToPath(modelUrl));
    await page.getByRole('heading', { name: 'shakespeare-mamba' }).waitFor();
    await page.getByText('2.9 million parameters').waitFor();
    await set(page, { length: 50, seed: 1 });
    await write(page);
    await finished(page);
    // Without a tokenizer it loads, but cannot read a text: that is said where it happens.
    await page.getByLabel('Model folder').setInputFiles(fixture('mamba/plain'));
    await page.getByRole('heading', { name: 'plain' }).waitFor();
    await write(page);
    await alert.waitFor();
    expect(await alert.textContent()).toContain('tokenizer.json');
    await rm(broken, { recursive: true });
    await page.context().close();
  });

  test('by keyboard: Tab reaches every control, Ctrl+Enter writes', async () => {
    const { page } = await site.open();
    const reached = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || ''));
    }
    for (const id of ['prompt', 'temperature', 'topP', 'topK', 'minP', 'repetitionPenalty', 'maxTokens', 'seed'])
      expect([...reached]).toContain(id);
    expect([...reached]).toContain('Write');
    await set(page, { length: 50 });
    await page.getByLabel('How the text begins').focus();
    await page.keyboard.press('Control+Enter');
    await finished(page);
    await page.context().close();
  });

  test.each([
    ['wide', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
    ['narrow and dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ] as const)('axe finds no violation, and nothing is wider than the page: %s', async (_, options) => {
    const { page } = await site.open(options);
    const check = () => expectAccessible(page);
    await check();
    await set(page, { length: 400, seed: 1 });
    await write(page);
    await finished(page);
    await check();
    const broken = await mkdtemp(join(tmpdir(), 'mamba-broken-'));
    await writeFile(join(broken, 'config.json'), '[]');
    await page.getByLabel('Model folder').setInputFiles(broken);
    await page.getByRole('alert').waitFor();
    await check();
    await rm(broken, { recursive: true });
    await page.context().close();
  });
});
