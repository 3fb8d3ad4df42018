import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startFileServer } from './file-server.ts';
import { randomGguf } from './random-gguf.ts';
import { type Site, startSite } from './site.ts';

const chromium = process.env.MAMBA_CHROMIUM;
const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));

/** Stands in for the hub: one repository, at the hub's own address. Tells which paths were asked for. */
async function routeHub(page: Page, repo: string, files: Readonly<Record<string, Buffer>>): Promise<string[]> {
  const asked: string[] = [];
  const commit = '0'.repeat(40);
  await page.context().route('https://huggingface.co/**', async (route) => {
    const { pathname } = new URL(route.request().url());
    asked.push(pathname);
    const headers = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'content-range, etag' };
    if (pathname === `/api/models/${repo}/revision/main`) {
      const siblings = Object.entries(files).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex'),
      }));
      return route.fulfill({ headers, json: { sha: commit, siblings } });
    }
    const bytes = files[pathname.slice(`/${repo}/resolve/${commit}/`.length)];
    if (!bytes) return route.fulfill({ status: pathname.includes('private') ? 401 : 404, headers });
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(route.request().headers().range ?? '') ?? [];
    return route.fulfill({
      status: 206,
      headers: { ...headers, 'content-range': `bytes ${first}-${last}/${bytes.length}` },
      body: bytes.subarray(Number(first), Number(last) + 1),
    });
  });
  return asked;
}

describe.skipIf(!chromium)('ways to open a model in Chromium', () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite(chromium!);
  });
  afterAll(() => site?.close());

  const openPanel = (page: Page) => page.getByRole('button', { name: 'Open another model' }).click();
  const download = async (page: Page, id: string): Promise<void> => {
    await openPanel(page);
    await page.getByLabel('From the hub').fill(id);
    await page.getByRole('button', { name: 'Download', exact: true }).click();
  };
  const runs = (page: Page, name: string) =>
    Promise.all([page.getByRole('heading', { name, exact: true }).waitFor(), page.getByText('runs on').waitFor()]);

  test('a hub id: downloaded once, then opened without asking anybody', async () => {
    const { page, errors } = await site.open();
    const names = ['config.json', 'model.safetensors'];
    const files = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(fixture(`mamba/plain/${name}`))])),
    );
    const asked = await routeHub(page, 'org/tiny', files);
    await download(page, 'org/tiny');
    await runs(page, 'tiny');
    expect(asked).toHaveLength(3);
    await openPanel(page);
    await page.getByRole('button', { name: 'Open Shakespeare' }).click();
    await runs(page, 'Shakespeare');
    await openPanel(page);
    await page.getByRole('button', { name: 'Open org/tiny' }).click();
    await runs(page, 'tiny');
    expect(asked).toHaveLength(3);
    // The browser may drop what it keeps: then the page starts with its own model, and downloads nothing unasked.
    await page.evaluate(async () => {
      await (await navigator.storage.getDirectory()).removeEntry('models-of-mamba-ts', { recursive: true });
    });
    await page.reload();
    await runs(page, 'Shakespeare');
    expect(asked).toHaveLength(3);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('ids that are none, and missing and private models, are explained with a remedy', async () => {
    const { page } = await site.open();
    await routeHub(page, 'org/tiny', {});
    const alert = page.getByRole('alert');
    for (const [id, expected] of [
      ['org/absent', /no such model.*Check the spelling/s],
      ['org/private', /login.*huggingface\.co/s],
      ['no model', /org\/name/],
    ] as const) {
      await download(page, id);
      await alert.waitFor();
      expect(await alert.textContent()).toMatch(expected);
      expect(await alert.textContent()).not.toMatch(/HF_/);
      await page.getByRole('button', { name: 'Go back to Shakespeare' }).click();
      await runs(page, 'Shakespeare');
    }
    await page.context().close();
  });

  test('where space ends, it is said what to do; with space again it goes on where it ended', async () => {
    const { page } = await site.open();
    const server = await startFileServer('/large.gguf', randomGguf({ layers: 4, width: 512 }));
    const cdp = await page.context().newCDPSession(page);
    const { origin } = new URL(site.url);
    const { usage } = await page.evaluate(() => navigator.storage.estimate());
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage! + 10e6 });
    await download(page, server.url);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/\d+ MB must still be stored.* allows this page .*Kept in this browser/s);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await openPanel(page);
    await page.getByRole('button', { name: 'Resume http' }).click();
    await runs(page, 'large');
    await server.close();
    await page.context().close();
  });

  test('a .gguf file, chosen or dropped; a folder of PyTorch weights; weights alone are explained', async () => {
    const { page } = await site.open();
    await page.getByLabel('Model files').setInputFiles(fixture('gguf/mamba-plain.gguf'));
    await runs(page, 'mamba-plain.gguf');
    const bytes = (await readFile(fixture('gguf/mamba2-group-per-head.gguf'))).toString('base64');
    const data = await page.evaluateHandle((base64) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'dropped.gguf'));
      return transfer;
    }, bytes);
    await page.dispatchEvent('.page', 'drop', { dataTransfer: data });
    await runs(page, 'dropped.gguf');
    await page.getByLabel('Model folder').setInputFiles(fixture('pytorch/plain'));
    await runs(page, 'plain');
    await page.getByLabel('Model files').setInputFiles(fixture('mamba/plain/model.safetensors'));
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(
      /config\.json was expected.*Choose the folder itself, or its files together/s,
    );
    await page
      .getByLabel('Model files')
      .setInputFiles(['config.json', 'model.safetensors'].map((name) => fixture(`mamba/plain/${name}`)));
    await runs(page, 'model.safetensors');
    await page.context().close();
  });
});
