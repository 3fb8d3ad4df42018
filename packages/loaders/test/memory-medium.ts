import type { Medium } from '../src/index.ts';

/** Pieces in memory: what Node tests stand on. */
export function memoryMedium(): Medium {
  const pieces = new Map<string, Blob>();
  const key = (path: readonly string[]): string => path.join('/');
  return {
    kind: 'memory',
    get: async (path) => pieces.get(key(path)) ?? null,
    async put(path, bytes) {
      pieces.set(key(path), new Blob([bytes]));
    },
    async list(path) {
      const prefix = path.length === 0 ? '' : `${key(path)}/`;
      const found = new Map<string, number | null>();
      for (const [name, blob] of pieces) {
        if (!name.startsWith(prefix)) continue;
        const [own, ...more] = name.slice(prefix.length).split('/');
        found.set(own!, more.length > 0 ? null : blob.size);
      }
      return found;
    },
    async remove(path) {
      pieces.delete(key(path));
      for (const name of [...pieces.keys()]) if (name.startsWith(`${key(path)}/`)) pieces.delete(name);
    },
  };
}
