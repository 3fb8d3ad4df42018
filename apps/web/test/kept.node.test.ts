import { loadLocalModel } from 'mamba-ts/node';
import type { Page } from 'playwright';
import { afterEach, describe, expect, test } from 'vitest';
import { type ByteSource, openModel } from '../../../packages/loaders/src/index.ts';
import { expectAccessible } from './accessible.ts';
import { type FileServer, startFileServer } from './file-server.ts';
import { type RandomFile, randomGguf } from './random-gguf.ts';
import { type Site, startSite } from './site.ts';

const chromium = process.env.MAMBA_CHROMIUM;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** What OPFS holds of the only model: the places of the pieces of its only file. */
const keptRanges = (page: Page): Promise<Range[]> =>
  page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('models-of-mamba-ts');
    const ranges: { start: number; end: number }[] = [];
    for await (const model of root.values()) {
      const file = await (model as FileSystemDirectoryHandle).getDirectoryHandle('0');
      for await (const [name, piece] of file.entries()) {
        const { size } = await (piece as FileSystemFileHandle).getFile();
        ranges.push({ start: Number(name), end: Number(name) + size });
      }
    }
    return ranges;
  });

const bytesOf = (ranges: readonly Range[]): number => ranges.reduce((sum, { start, end }) => sum + end - start, 0);
const overlap = (a: Range, b: Range): boolean => a.start < b.end && b.start < a.end;

async function greedyInNode(file: RandomFile): Promise<string> {
  const source: ByteSource = {
    name: 'random.gguf',
    size: file.size,
    async read(offset, length, options) {
      const bytes = file.read(offset, length);
      options?.into?.set(bytes);
      return options?.into?.subarray(0, length) ?? bytes;
    },
  };
  const model = await loadLocalModel(await openModel(source));
  const { text } = await model.generate('Once', { temperature: 0, maxTokens: 50, seed: 1 });
  await model.dispose();
  return text;
}

async function greedyInPage(page: Page): Promise<string> {
  await page.getByLabel('How the text begins').fill('Once');
  await page.getByLabel('Temperature').fill('0');
  await page.getByLabel('Length').fill('50');
  await page.getByRole('button', { name: 'Write' }).click();
  await page.getByText('reached the length asked for').waitFor();
  return (await page.locator('#written').textContent())!;
}

// 320 MB with FULL=1, else 14 MB.
const sizes = process.env.FULL ? { layers: 6, width: 2048 } : { layers: 4, width: 512 };

describe.skipIf(!chromium)('a model from the network in Chromium', () => {
  let site: Site | undefined;
  let server: FileServer | undefined;
  afterEach(async () => {
    await site?.close();
    await server?.close().catch(() => {});
  });

  test('is pulled with progress, cancelled, resumed, cut by a reload, resumed, run; then starts without any network', async () => {
    const file = randomGguf(sizes);
    server = await startFileServer('/models/random.gguf', file);
    site = await startSite(chromium!);
    const { page, errors } = await site.open();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    const bar = page.getByRole('region', { name: 'Model' });

    server.allow(file.size * 0.2);
    await page.getByRole('button', { name: 'Open another model' }).click();
    await page.getByLabel('From the hub').fill(server.url);
    await page.getByRole('button', { name: 'Download', exact: true }).click();
    await bar.getByText(/Downloading [\d.]+ MB of [\d.]+ MB/).waitFor();
    // A thin stream, until the page knows how fast it is.
    const stream = setInterval(() => server!.allow(1 << 16), 100);
    await bar.getByText(/[\d.]+ [kM]?B\/s/).waitFor();
    await bar.getByText(/\d+ (s|min|h) left/).waitFor();
    clearInterval(stream);
    server.allow(file.size * 0.3);
    await page.waitForFunction((bytes) => document.querySelector('progress')!.value > bytes, file.size * 0.3);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await bar.getByText('what has come of a download is kept').waitFor();
    await page.getByRole('button', { name: 'Open another model' }).click();
    await page
      .getByRole('listitem')
      .getByText(/of [\d.]+ MB$/)
      .waitFor();
    await expectAccessible(page);

    // What was cancelled goes on; then the tab goes, with what it had not put away yet.
    const cancelled = await keptRanges(page);
    expect(bytesOf(cancelled)).toBeGreaterThan(file.size * 0.25);
    let from = server.asked.length;
    server.allow(file.size * 0.4);
    await page.getByRole('button', { name: 'Resume http' }).click();
    await page.waitForFunction((bytes) => document.querySelector('progress')!.value > bytes, file.size * 0.6);
    await page.reload();
    await page.getByText('2.9 million parameters').waitFor();
    // The first byte is asked for again, to learn whether the file is still the same.
    const second = server.asked.slice(from).filter(({ end }) => end > 1);
    expect(second.filter((asked) => cancelled.some((kept) => overlap(asked, kept)))).toEqual([]);

    const cut = await keptRanges(page);
    // Four connections, each with less than a piece of 4 MiB in memory.
    expect(bytesOf(cut)).toBeGreaterThanOrEqual(Math.max(bytesOf(cancelled), file.size * 0.6 - (16 << 20)));
    from = server.asked.length;
    server.allow(Number.POSITIVE_INFINITY);
    await page.getByRole('button', { name: 'Open another model' }).click();
    await page.getByRole('button', { name: 'Resume http' }).click();
    await bar.getByText(/million parameters/).waitFor();
    const third = server.asked.slice(from).filter(({ end }) => end > 1);
    expect(third.filter((asked) => cut.some((kept) => overlap(asked, kept)))).toEqual([]);
    expect(bytesOf(third)).toBe(file.size - bytesOf(cut));

    const expected = await greedyInNode(file);
    expect(await greedyInPage(page)).toBe(expected);

    await server.close();
    await site.goOffline();
    await page.reload();
    await page.getByRole('heading', { name: 'random' }).waitFor();
    expect(await greedyInPage(page)).toBe(expected);
    expect(errors).toEqual([]);

    await page.getByRole('button', { name: 'Open another model' }).click();
    await page.getByRole('button', { name: 'Remove http' }).click();
    await page.getByRole('button', { name: 'Remove http' }).waitFor({ state: 'detached' });
    expect(await keptRanges(page)).toEqual([]);
  }, 120_000);
});
