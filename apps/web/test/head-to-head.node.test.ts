import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectAccessible } from './accessible.ts';
import { type Site, startSite } from './site.ts';

const chromium = process.env.MAMBA_CHROMIUM;

describe.skipIf(!chromium)('the page "Head to head" in Chromium', () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite(chromium!);
  });
  afterAll(() => site?.close());

  async function open(options?: Parameters<Site['open']>[0]) {
    const { page, errors } = await site.open(options);
    await page.getByRole('link', { name: 'Head to head' }).click();
    await page.getByLabel('Longest').selectOption('512');
    return { page, errors };
  }
  const measure = (page: Page) => page.getByRole('button', { name: 'Measure' }).click();
  const measured = (page: Page) => page.getByText('Measured.').waitFor({ timeout: 50_000 });

  test('measures Mamba, Mamba-2 and a Transformer; numbers and picture can be saved', async () => {
    const { page, errors } = await open();
    await measure(page);
    await measured(page);
    const words = await page.locator('.words').textContent();
    expect(words).toMatch(
      /Mamba took .* for 4 times the text .*Mamba always needs 233 kB, Mamba-2 always needs 8\d\d kB/s,
    );
    expect(words).toMatch(/Transformer needs [\d.]+ (kB|MB), then [\d.]+ MB/);
    expect(await page.getByRole('img', { name: words! }).count()).toBe(1);

    const saved = async (name: string) => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
      return readFile(await download.path());
    };
    const csv = (await saved('Save numbers')).toString().trim().split('\r\n');
    expect(csv).toHaveLength(1 + 3 * 2);
    for (const row of csv.slice(1)) expect(row).toMatch(/^"[^"]+",\d{7},\d+,\d+,[\d.]+,[\d.]+,\d+,\d+,3,true$/);
    const png = await saved('Save picture');
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(16)).toBe(2160);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('cancel ends it at once, and it can be started again', async () => {
    const { page } = await open();
    await page.getByLabel('Longest').selectOption('32768');
    await measure(page);
    await page.getByText(/reading/).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('Cancelled.').waitFor({ timeout: 1000 });
    await page.getByLabel('Longest').selectOption('512');
    await page.getByRole('checkbox', { name: 'Transformer' }).uncheck();
    await measure(page);
    await measured(page);
    expect(await page.locator('.words').textContent()).not.toContain('Transformer');
    await page.context().close();
  });

  test.each([
    ['wide', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
    ['narrow and dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ] as const)('axe finds no violation, and nothing is wider than the page: %s', async (_, options) => {
    const { page } = await open(options);
    await expectAccessible(page);
    await page.getByRole('checkbox', { name: 'Transformer' }).uncheck();
    await measure(page);
    await measured(page);
    await expectAccessible(page);
    await page.context().close();
  });
});
