import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HUB_ADDRESS } from '../hub/request.ts';

/** What the surroundings say about the hub, by the variables that Python's huggingface_hub reads. */
export interface HubEnvironment {
  /** `HF_HUB_CACHE`, else `hub` in `HF_HOME`, which is `huggingface` in `XDG_CACHE_HOME` or `~/.cache`. */
  readonly cache: string;
  /** `HF_ENDPOINT`. */
  readonly endpoint: string;
  /** `HF_TOKEN`, else what the file `HF_TOKEN_PATH` (else `token` in `HF_HOME`) holds. */
  readonly token?: string;
  /** `HF_HUB_OFFLINE`. */
  readonly offline: boolean;
}

/** Reads the environment, and the token's file. */
export function hubEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): HubEnvironment {
  // Empty is as good as unset, as in Python.
  const value = (name: string): string | undefined => env[name]?.trim() || undefined;
  const expand = (path: string): string => path.replace(/^~(?=$|[/\\])/, homedir());
  const home = expand(
    value('HF_HOME') ?? join(expand(value('XDG_CACHE_HOME') ?? join(homedir(), '.cache')), 'huggingface'),
  );
  const token = value('HF_TOKEN') ?? tokenIn(expand(value('HF_TOKEN_PATH') ?? join(home, 'token')));
  return {
    cache: expand(value('HF_HUB_CACHE') ?? join(home, 'hub')),
    endpoint: value('HF_ENDPOINT') ?? HUB_ADDRESS,
    ...(token && { token }),
    offline: /^(?:1|on|yes|true)$/i.test(value('HF_HUB_OFFLINE') ?? ''),
  };
}

function tokenIn(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined; // most people have none
  }
}
