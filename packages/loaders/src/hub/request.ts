import { isMambaError, MambaError } from '@mamba-ts/tensor';

/** The public hub. Other addresses (`HF_ENDPOINT`) are passed in. */
export const HUB_ADDRESS: string = 'https://huggingface.co';

/** How patient a download is. */
export interface Patience {
  /** Failures in a row before it gives up; 6 unless told otherwise. */
  readonly attempts?: number | undefined;
  /** Before the second attempt, doubling from there up to 30 s; 500 ms unless told otherwise. */
  readonly delayMs?: number | undefined;
  /** How long a connection may be silent; 30 s unless told otherwise. */
  readonly silenceMs?: number | undefined;
  /** The longest wait that a server may ask for by `Retry-After`; 2 minutes unless told otherwise. */
  readonly longestWaitMs?: number | undefined;
}

/** How to reach a hub. Nothing is taken from the surroundings: who calls reads `HF_ENDPOINT` and `HF_TOKEN`. */
export interface HubOptions {
  /** {@link HUB_ADDRESS} unless given. */
  readonly endpoint?: string | undefined;
  /** Sent to the endpoint, and to no other host. */
  readonly token?: string | undefined;
  /** The global `fetch` unless given. It must take the authorization header from a redirect to another host, as the standard asks. */
  readonly fetch?: typeof fetch | undefined;
  readonly patience?: Patience | undefined;
  /** Ends everything by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The address of a hub, checked, without a slash at its end. Throws `HUB_ADDRESS`. */
export function hubAddress({ endpoint = HUB_ADDRESS }: HubOptions): string {
  const address = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (!address || !/^https?:$/.test(address.protocol) || address.search || address.hash || address.username) {
    throw new MambaError(
      'HUB_ADDRESS',
      `${JSON.stringify(endpoint.slice(0, 120))} is no address of a hub, such as ${HUB_ADDRESS}. Check HF_ENDPOINT.`,
      { endpoint },
    );
  }
  return address.href.replace(/\/+$/, '');
}

/** One request. Throws `HUB_NETWORK` and what {@link statusError} makes of the answer's status; 200 and 206 pass. */
export async function request(
  url: string,
  what: string,
  options: HubOptions,
  signal: AbortSignal | undefined,
  range?: string,
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (options.token !== undefined && !/^[\x21-\x7e]+$/.test(options.token)) {
    throw new MambaError('HUB_AUTH', `${what}: HF_TOKEN holds characters that no token has. Set it anew.`, { what });
  }
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
  if (range !== undefined) headers.range = range;
  let response: Response;
  try {
    const fetching = options.fetch ?? globalThis.fetch;
    response = await fetching(url, { headers, signal: signal ?? null, redirect: 'follow' });
  } catch (cause) {
    signal?.throwIfAborted();
    throw networkError(what, url, cause);
  }
  if (response.status === 200 || response.status === 206) return response;
  await response.body?.cancel().catch(() => {});
  throw statusError(response, what, options);
}

export function networkError(what: string, url: string, cause: unknown): MambaError {
  const inner = (cause as { cause?: { code?: unknown } } | null)?.cause?.code;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MambaError(
    'HUB_NETWORK',
    `${what}: ${new URL(url).host} could not be reached, or the connection broke off (${reason}${inner ? `, ${inner}` : ''}). ` +
      'Is the network up? What has come is kept; try again.',
    { host: new URL(url).host },
    { cause },
  );
}

function statusError(response: Response, what: string, { token }: HubOptions): MambaError {
  const { status } = response;
  const details = { status, what, retryAfterMs: retryAfter(response) };
  const fail = (code: string, text: string): MambaError =>
    new MambaError(code, `${what}: ${text} (HTTP ${status})`, details);
  if (status === 401) {
    return token === undefined
      ? fail(
          'HUB_AUTH',
          'the hub asks for a login. Either there is no such model (check the spelling), or it is private or gated: put a ' +
            'token that may read it into HF_TOKEN',
        )
      : fail('HUB_AUTH', 'the hub does not accept the token. Check HF_TOKEN, or make a new one');
  }
  if (status === 403) {
    return fail(
      'HUB_AUTH',
      `access is refused. ${token === undefined ? 'Put a token into HF_TOKEN' : "The token's owner needs access"}; where the ` +
        "model is gated, accept its conditions on the model's page first",
    );
  }
  if (status === 404 || status === 410) {
    return fail('HUB_MISSING', 'the hub has no such model, revision or file. Check the spelling');
  }
  if (status === 416) return fail('HUB_RANGE', 'the file does not reach as far as the hub said it does. Try again');
  if (status === 429)
    return fail('HUB_BUSY', 'too many requests. Wait a while; with a token in HF_TOKEN more are allowed');
  if (status >= 500 || status === 408) return fail('HUB_BUSY', 'the server fails. Try again later');
  return fail('HUB_STATUS', 'an answer that nobody expects. Is the address (HF_ENDPOINT) that of a hub?');
}

/** What `Retry-After` asks for, seconds or a date, in ms. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('retry-after');
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return 1000 * Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

const mayPass = (error: unknown): error is MambaError =>
  isMambaError(error, 'HUB_NETWORK') || isMambaError(error, 'HUB_BUSY');

/**
 * Runs `work` until it succeeds, fails for good, or failed too often in a row. `work` tells of progress by `alive`, after
 * which the counting begins anew. Waits longer each time, and as long as the server asks.
 */
export async function persistent<T>(
  work: (alive: () => void) => Promise<T>,
  { attempts = 6, delayMs = 500, longestWaitMs = 120_000 }: Patience = {},
  signal?: AbortSignal,
): Promise<T> {
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await work(() => {
        failures = 0;
      });
    } catch (error) {
      if (!mayPass(error) || ++failures >= attempts) throw error;
      const asked = error.details.retryAfterMs as number | undefined;
      if (asked !== undefined && asked > longestWaitMs) throw error;
      // Half of it by chance, so that the connections do not all come back at once.
      const own = Math.min(30_000, delayMs * 2 ** (failures - 1)) * (0.5 + 0.5 * Math.random());
      await pause(Math.max(asked ?? 0, own), signal);
    }
  }
}

/** Waits, unless aborted: then it throws the signal's reason. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
