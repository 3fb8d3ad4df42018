import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromPretrained } from 'mamba-ts/node';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memorySource } from '../../../packages/loaders/src/index.ts';
import { openZip } from '../../../packages/loaders/src/pytorch/zip.ts';
import { stories } from '../src/pages/train/stories.ts';
import { expectAccessible } from './accessible.ts';
import { expectNoLongTask } from './long-tasks.ts';
import { type Site, startSite } from './site.ts';

// `npm test` names the browser; where there is none it has said so loudly.
const chromium = process.env.MAMBA_CHROMIUM;

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const train = (page: Page): Promise<void> => button(page, 'Train').click();
const stop = (page: Page): Promise<void> => button(page, 'Stop').click();
const ended = (page: Page): Promise<void> => button(page, 'Train another').waitFor();

/** Nats per token on text that it never learns from: the newest, once there is any. */
async function validation(page: Page): Promise<number> {
  const text = await page.locator('.legend-validation strong').textContent();
  return Number(text);
}

/** Waits until the validation loss has fallen below. */
const below = (page: Page, loss: number, seconds: number) =>
  page.waitForFunction(
    (loss) => Number(document.querySelector('.legend-validation strong')?.textContent) < loss,
    loss,
    { timeout: 1000 * seconds },
  );

describe.skipIf(!chromium)('the page Train in Chromium', () => {
  let site: Site;
  let folder: string;
  beforeAll(async () => {
    site = await startSite(chromium!);
    folder = await mkdtemp(join(tmpdir(), 'mamba-train-'));
  });
  afterAll(async () => {
    await site?.close();
    await rm(folder, { recursive: true });
  });

  async function open(options?: Parameters<Site['open']>[0]) {
    const opened = await site.open(options);
    await opened.page.getByRole('link', { name: 'Train' }).click();
    return opened;
  }

  /** Saves what the page offers, unpacks it, and gives the folder. */
  async function downloaded(page: Page): Promise<string> {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: /^Download/ }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^my-.*\.zip$/);
    const bytes = new Uint8Array(await readFile((await download.path())!));
    const entries = await openZip(memorySource('my.zip', bytes));
    const [first] = entries.keys();
    await mkdir(join(folder, first!.split('/')[0]!), { recursive: true });
    for (const { name, begin, end } of entries.values())
      await writeFile(join(folder, name), bytes.subarray(begin, end));
    return join(folder, first!.split('/')[0]!);
  }

  test('the validation loss falls by 1 nat within 60 s, and what is downloaded knows as much in Node', async () => {
    const { page, errors } = await open();
    await train(page);
    // Random weights know nothing: all 512 tokens are as likely.
    await below(page, Math.log(512) + 0.2, 30);
    const before = await validation(page);
    expect(before).toBeGreaterThan(Math.log(512) - 0.2);
    await below(page, before - 1, 60);
    await stop(page);
    await ended(page);
    const model = await fromPretrained(await downloaded(page));
    const score = await model.score(stories(200).slice(-4000), { window: 128 });
    await model.dispose();
    expect(score.nats / score.tokens).toBeLessThan(before - 0.9);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test.each(['Mamba-2', 'Transformer'])('%s learns, too, and writes in Node', async (name) => {
    const { page, errors } = await open();
    await page.getByRole('radio', { name }).check();
    await train(page);
    await below(page, 5.7, 60);
    await stop(page);
    await ended(page);
    const model = await fromPretrained(await downloaded(page));
    expect((await model.generate('ADA', { maxTokens: 20, seed: 1 })).ids.length).toBeGreaterThan(0);
    await model.dispose();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('without a network: pauses, goes on, stops; what it learned runs in the playground', async () => {
    const own = await startSite(chromium!);
    const { page, errors } = await own.open();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await own.goOffline();
    await page.getByRole('link', { name: 'Train' }).click();
    await train(page);
    await below(page, 6, 60);
    await button(page, 'Pause').click();
    await button(page, 'Go on').waitFor();
    const steps = () => page.locator('.run-figures dd').first().textContent();
    const paused = await steps();
    const samples = page.getByRole('list', { name: 'Samples' }).getByRole('listitem');
    expect(await samples.count()).toBeGreaterThanOrEqual(2);
    await page.waitForTimeout(1500);
    expect(await steps()).toBe(paused);
    await button(page, 'Go on').click();
    await page.waitForFunction((before) => document.querySelector('.run-figures dd')?.textContent !== before, paused);
    // Another page meanwhile, and back: it has gone on.
    await page.getByRole('link', { name: 'Inside' }).click();
    await page.getByRole('link', { name: 'Train' }).click();
    await stop(page);
    await ended(page);
    await button(page, 'Try it in the playground').click();
    await page.getByRole('heading', { name: 'My Mamba' }).waitFor();
    await page.getByText(/^98,\d{3} parameters$/).waitFor();
    expect(await page.getByLabel('How the text begins').inputValue()).toBe('ADA');
    await page.getByLabel('Length').fill('50');
    await button(page, 'Write').click();
    await page.getByText(/reached the length asked for|ended the text itself/).waitFor();
    expect(errors).toEqual([]);
    await own.close();
  });

  test('what cannot be learned from is explained with a remedy, and the text stays', async () => {
    const { page, errors } = await open();
    const alert = page.getByRole('alert');
    const refused = async (what: RegExp): Promise<void> => {
      await train(page);
      await alert.filter({ hasText: what }).waitFor();
    };
    const text = page.getByLabel('A text to learn from');
    await text.fill('');
    await refused(/is empty.*Paste a longer text/s);
    await text.fill('a few words');
    await refused(/11 characters.*below 2,000.*Paste a longer text/s);
    expect(await text.inputValue()).toBe('a few words');
    await text.fill('a'.repeat(5000));
    await refused(/repeats itself.*Paste a longer text/s);
    const file = { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from([0xff, 0xfe, 0x41, 0]) };
    await page.getByLabel('Text file').setInputFiles(file);
    await refused(/no text in UTF-8.*\.txt/s);
    await page.getByLabel('Text file').setInputFiles({ ...file, buffer: Buffer.from(stories(50)) });
    await train(page);
    await page.getByText('98,240 parameters').waitFor();
    expect(await alert.count()).toBe(0);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('a text that is dropped is learned from', async () => {
    const { page, errors } = await open();
    await page.getByLabel('A text to learn from').waitFor();
    const data = await page.evaluateHandle((text) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text], 'mine.txt', { type: 'text/plain' }));
      return transfer;
    }, stories(50));
    await page.dispatchEvent('.page', 'drop', { dataTransfer: data });
    await page.getByText('mine.txt').waitFor();
    await train(page);
    await page.getByText('98,240 parameters').waitFor();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('no task over 50 ms on the main thread while it trains', async () => {
    const { page } = await open();
    await expectNoLongTask(page, async () => {
      await train(page);
      await below(page, 6, 60);
      await page.waitForTimeout(3000);
      await stop(page);
      await button(page, 'Train another').click();
      await button(page, 'Train').waitFor();
    });
    await page.context().close();
  });

  test.each([
    ['wide', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
    ['narrow and dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ] as const)('axe finds no violation, and nothing is wider than the page: %s', async (_, options) => {
    const { page } = await open(options);
    await expectAccessible(page);
    await train(page);
    await below(page, 6.1, 60);
    await expectAccessible(page);
    await stop(page);
    await ended(page);
    await expectAccessible(page);
    await page.context().close();
  });
});
