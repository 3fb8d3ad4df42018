import { loadFixture } from '../../../fixtures/load.ts';

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Two base-64 digits per id: see fixtures/tokenizer.py. */
export function unpack(packed: string): number[] {
  const ids: number[] = [];
  for (let i = 0; i < packed.length; i += 2) ids.push(BASE64.indexOf(packed[i]!) * 64 + BASE64.indexOf(packed[i + 1]!));
  return ids;
}

/** The lines of a golden file. */
export async function lines(path: string): Promise<string[][]> {
  const text = new TextDecoder().decode(await loadFixture(path));
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);
}
