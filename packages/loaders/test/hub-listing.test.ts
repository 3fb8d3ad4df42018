import { expect, test } from 'vitest';
import { listHub } from '../src/hub/listing.ts';
import { codeOf } from './helpers.ts';

const SHA = '0'.repeat(40);

/** What the answer `json` of a hub leads to. */
const listed = (json: unknown): Promise<string> =>
  codeOf(() =>
    listHub(
      { repo: 'o/n', revision: 'main' },
      { endpoint: 'http://hub.test', fetch: async () => new Response(JSON.stringify(json)), patience: { attempts: 1 } },
    ),
  );
const withFile = (file: unknown): unknown => ({ sha: SHA, siblings: [file] });
const sound = { rfilename: 'm.gguf', size: 5, blobId: SHA };

test('a sound answer', async () => {
  expect(await listed(withFile(sound))).toBe('no error');
  expect(await listed(withFile({ ...sound, lfs: { size: 2 ** 42, sha256: 'a'.repeat(64) } }))).toBe('no error');
});

test.each<[string, unknown]>([
  ['nothing', null],
  ['a text', 'x'],
  ['no commit', { siblings: [] }],
  ['a commit that is a path', { sha: '../'.repeat(13).padEnd(40, 'a'), siblings: [] }],
  ['no files', { sha: SHA }],
  ['files that are a text', { sha: SHA, siblings: 'abc' }],
  ['null as a file', withFile(null)],
  ['a name that is a number', withFile({ ...sound, rfilename: 7 })],
  ['a size below 0', withFile({ ...sound, size: -1 })],
  ['a size of half a byte', withFile({ ...sound, size: 0.5 })],
  ['a size as a text', withFile({ ...sound, size: '5' })],
  ['a size that no disk holds', withFile({ ...sound, size: 2 ** 53 - 1 })],
  ['a large file of a size that no disk holds', withFile({ ...sound, lfs: { size: 2 ** 52, sha256: 'a'.repeat(64) } })],
  ['a hash that is a path', withFile({ ...sound, blobId: '/'.repeat(40) })],
  ['a SHA-256 in capitals', withFile({ ...sound, lfs: { size: 5, sha256: 'A'.repeat(64) } })],
  ['a file twice', { sha: SHA, siblings: [sound, sound] }],
])('%s is no listing', async (_, json) => {
  expect(await listed(json)).toBe('HUB_ANSWER');
});
