import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { blobSource } from '../../../packages/loaders/src/index.ts';
import { openZip } from '../../../packages/loaders/src/pytorch/zip.ts';
import { zip } from '../src/zip.ts';

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

test('an archive holds its files under their names, where its headers say, with their checksums', async () => {
  const files = [
    { name: 'my-mamba/config.json', data: bytes('{"model_type": "mamba"}') },
    { name: 'my-mamba/empty', data: new Uint8Array(0) },
    { name: 'my-mamba/größe.txt', data: bytes('🐍'.repeat(1000)) },
  ];
  const archive = zip(files);
  const entries = await openZip(blobSource(archive, 'my-mamba.zip'));
  expect([...entries.keys()].sort()).toEqual(files.map(({ name }) => name).sort());
  for (const { name, data } of files) {
    const { begin, end, crc } = entries.get(name)!;
    expect(new Uint8Array(await archive.slice(begin, end).arrayBuffer())).toEqual(data);
    expect(crc).toBe(crc32(data));
  }
});
