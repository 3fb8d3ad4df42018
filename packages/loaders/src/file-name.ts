import { MambaError } from '@mamba-ts/tensor';

/**
 * Letters, digits and a few marks that mean nothing to a shell, a URL or a file system. An allow-list, because lists of
 * what to refuse (`..`, `/`, `\`, NUL, `C:`, `%2e`, `~`, ...) are never complete.
 */
const PLAIN = /^[A-Za-z0-9_](?:[A-Za-z0-9._+=@,()[\] -]*[A-Za-z0-9_+=@)\]-])?$/;

/** Names that are devices on Windows, whatever their extension. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Passes a plain file name that stays inside its folder on every system, such as `model-00001-of-00002.safetensors`.
 * Throws `FILE_NAME` for anything else; `from` says where the name was found.
 */
export function checkFileName(name: string, from: string): string {
  if (typeof name === 'string' && name.length <= 255 && PLAIN.test(name) && !DEVICE.test(name)) return name;
  const shown = JSON.stringify(name)?.slice(0, 120) ?? String(name);
  throw new MambaError(
    'FILE_NAME',
    `${from} names the file ${shown}, which is not a plain file name inside the model's folder (letters, digits and ` +
      '. _ - + = @ , ( ) [ ], starting with a letter, a digit or _). Paths, URLs and escapes are refused.',
    { name, from },
  );
}
