import { readFile } from 'node:fs/promises';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained } from 'mamba-ts/node';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectAccessible } from './accessible.ts';
import { expectNoLongTask } from './long-tasks.ts';
import { type Site, startSite } from './site.ts';

// `npm test` names the browser; where there is none it has said so loudly.
const chromium = process.env.MAMBA_CHROMIUM;

const TEXT = 'JULIET:\nO Romeo, <b>Romeo</b>!\nDeny thy father and refuse thy name;\n';

async function look(page: Page, text = TEXT): Promise<void> {
  await page.getByRole('link', { name: 'Inside' }).click();
  await page.getByLabel('A text to read').fill(text);
  await page.getByRole('button', { name: 'Look inside' }).click();
}

const drawn = (page: Page) => page.getByRole('img', { name: /^Hidden attention/ }).waitFor();

describe.skipIf(!chromium)('the page Inside in Chromium', () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite(chromium!);
  });
  afterAll(() => site?.close());

  test('shows what Node finds, the text unchanged under the shading, without an error or a breach of the policy', async () => {
    const { page, errors } = await site.open();
    await look(page);
    await drawn(page);
    const model = await fromPretrained(modelUrl);
    const { layers, attention } = await model.inspect(TEXT);
    await model.dispose();
    expect(await page.getByLabel('Layer by layer').inputValue()).toBe(String(attention.layer));
    const lets = page.getByRole('region', { name: 'What it lets in' });
    const shown = await lets
      .locator('.shaded')
      .first()
      .evaluate((text) => {
        for (const mark of text.querySelectorAll('i')) mark.remove();
        return text.textContent;
      });
    expect(shown).toBe(TEXT);
    const { written } = layers[attention.layer]!;
    const average = written.reduce((sum, value) => sum + value) / written.length;
    expect(await lets.textContent()).toContain(`${(Math.max(...written) / average).toFixed(1)} times the average`);
    await page.getByText(/^The figures of layer/).click();
    await page.locator('.figures table').waitFor();
    expect(await page.locator('.figures tbody tr').count()).toBe(written.length);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('another layer is shown at once, and its hidden attention follows; the saved page holds the same', async () => {
    const { page } = await site.open();
    await look(page);
    await drawn(page);
    const before = await page.getByRole('region', { name: 'What it lets in' }).textContent();
    await page.getByLabel('Layer by layer').selectOption('1');
    await page.getByText('(layer 1, channels 0 to 511)').waitFor();
    expect(await page.getByRole('region', { name: 'What it lets in' }).textContent()).not.toBe(before);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save as a page' }).click(),
    ]);
    expect(await readFile((await download.path())!, 'utf8')).toContain('<h2>Layer 1, token by token</h2>');
    await page.context().close();
  });

  test('too long a text is explained; stop ends the work, and the page can look again', async () => {
    const { page } = await site.open();
    await look(page, 'word '.repeat(700));
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/1 to 512 can be looked into.*Change the text/);
    await look(page, 'All the world is a stage,\n'.repeat(50));
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('button', { name: 'Look inside' }).waitFor();
    expect([await alert.count(), await page.locator('.view').count()]).toEqual([0, 0]);
    await look(page);
    await drawn(page);
    await page.context().close();
  });

  test('no task over 50 ms on the main thread while looking inside and drawing', async () => {
    const { page } = await site.open();
    await page.getByRole('link', { name: 'Inside' }).click();
    await expectNoLongTask(page, async () => {
      await page.getByRole('button', { name: 'Look inside' }).click();
      await page.getByRole('button', { name: 'Save as a page' }).waitFor();
      await drawn(page);
      await page.waitForTimeout(200);
    });
    await page.context().close();
  });

  test.each([
    ['wide', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
    ['narrow and dark', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' }],
  ] as const)('axe finds no violation, and nothing is wider than the page: %s', async (_, options) => {
    const { page } = await site.open(options);
    await page.getByRole('link', { name: 'Inside' }).click();
    await expectAccessible(page);
    await look(page);
    await drawn(page);
    await page.getByText(/^The figures of layer/).click();
    await expectAccessible(page);
    await page.context().close();
  });
});
