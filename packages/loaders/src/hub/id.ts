import { MambaError } from '@mamba-ts/tensor';
import { checkFileName } from '../file-name.ts';

/** A model on the hub: `ORG/NAME[@REVISION][:FILE]`. */
export interface HubId {
  /** `ORG/NAME`. */
  readonly repo: string;
  /** A branch, a tag or a commit; `main` where none was named. */
  readonly revision: string;
  /** A path in the repository. Absent where the files are to be chosen. */
  readonly file?: string;
}

/** What the hub allows, less `--` and `..`: the former separates ORG and NAME in the cache, the latter leaves it. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$/;
const isName = (name: string): boolean => NAME.test(name) && !name.includes('--') && !name.includes('..');

const SEGMENT = /^[A-Za-z0-9_](?:[A-Za-z0-9_.+-]*[A-Za-z0-9_+-])?$/;

/** Most bytes and folders of a path in a repository. */
const PATH_LENGTH = 512;
const PATH_DEPTH = 8;

const split = (text: string): RegExpExecArray | null => /^([^@:]*)(?:@([^:]*))?(?::(.*))?$/s.exec(text);

/**
 * Whether a text has the form of a hub id, `ORG/NAME` and what may follow. A path can have it too: where one exists it is
 * meant, so ask for that first.
 */
export function isHubId(text: string): boolean {
  const parts = (split(text)?.[1] ?? '').split('/');
  return parts.length === 2 && parts.every(isName);
}

/** Reads `ORG/NAME[@REVISION][:FILE]`. Throws `HUB_ID`, and `FILE_NAME` for a file that is no plain path. */
export function parseHubId(text: string): HubId {
  const [, repo = '', revision = 'main', file] = split(text) ?? [];
  if (!isHubId(text)) {
    throw badId(text, 'ORG and NAME are letters, digits, _, . and -, beginning and ending with a letter, a digit or _');
  }
  const segments = revision.split('/');
  if (revision.length > 255 || !segments.every((part) => SEGMENT.test(part) && !part.includes('..'))) {
    throw badId(text, `${JSON.stringify(revision.slice(0, 80))} is no name of a branch, a tag or a commit`);
  }
  return file === undefined ? { repo, revision } : { repo, revision, file: checkHubPath(file, text) };
}

function badId(text: string, why: string): MambaError {
  const shown = JSON.stringify(text.slice(0, 120));
  return new MambaError('HUB_ID', `${shown} is no model of a hub (ORG/NAME[@REVISION][:FILE]): ${why}.`, { id: text });
}

/**
 * Passes a path in a repository whose every part is a plain name (see `checkFileName`), so that it stays in its folder on
 * every system. Throws `FILE_NAME`; `from` says where it was found.
 */
export function checkHubPath(path: string, from: string): string {
  const parts = path.split('/');
  if (path.length > PATH_LENGTH || parts.length > PATH_DEPTH) {
    throw new MambaError(
      'FILE_NAME',
      `${from} names the file ${JSON.stringify(path.slice(0, 120))}, whose path is too long; at most ${PATH_LENGTH} ` +
        `characters and ${PATH_DEPTH} folders are accepted`,
      { name: path, from },
    );
  }
  for (const part of parts) checkFileName(part, from);
  return path;
}

/** The id as text, the shortest way. */
export const hubIdText = ({ repo, revision, file }: HubId): string =>
  `${repo}${revision === 'main' ? '' : `@${revision}`}${file === undefined ? '' : `:${file}`}`;
