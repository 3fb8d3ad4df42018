import { crc32, MambaError } from '@mamba-ts/tensor';
import type { StateLayout } from './state-layout.ts';

/*
 * A saved state, little-endian:
 *   8 bytes   magic "MTSSTATE"
 *   u32       version (1)
 *   u32       length of the header in bytes
 *   header    UTF-8 JSON { model, fingerprint, adapter, position, fields: [{ name, shape }] }; for models with attention
 *             caches: [{ name, heads, width }] too
 *   f32[]     the slot's block, then a row per token (keys, then values, cache by cache); every number is finite
 *   u32       CRC-32 (IEEE 802.3) of all before it
 */
const MAGIC = new TextEncoder().encode('MTSSTATE');
const VERSION = 1;
const PREFIX = MAGIC.length + 8;
const MAX_HEADER = 1 << 20;

/** Whose state it is. */
export interface StateOwner {
  readonly model: string;
  /** Of the weights, their dtypes included. */
  readonly fingerprint: string;
  /** Of what the model does besides its weights, such as the state that its texts begin with; null for nothing. */
  readonly adapter: string | null;
  readonly layout: StateLayout;
}

/** What a header says of the layout. */
const describe = ({ fields, caches }: StateLayout): { fields: unknown[]; caches?: unknown[] } => ({
  fields: fields.map(({ name, shape }) => ({ name, shape })),
  ...(caches.length > 0 && { caches: caches.map(({ name, heads, width }) => ({ name, heads, width })) }),
});

/** A saved state of a model: `values` of its slot after `position` tokens, as `State.save` writes it. */
export function encodeState(owner: StateOwner, position: number, values: Float32Array): Uint8Array {
  const header = new TextEncoder().encode(
    JSON.stringify({
      model: owner.model,
      fingerprint: owner.fingerprint,
      adapter: owner.adapter,
      position,
      ...describe(owner.layout),
    }),
  );
  const bytes = new Uint8Array(PREFIX + header.length + 4 * values.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, header.length, true);
  bytes.set(header, PREFIX);
  let at = PREFIX + header.length;
  for (const value of values) {
    view.setFloat32(at, value, true);
    at += 4;
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return bytes;
}

const mangled = (what: string): never => {
  throw new MambaError('STATE_FORMAT', `this is no intact saved state: ${what}. Save the state again.`);
};

type Header = Readonly<Record<'model' | 'fingerprint' | 'adapter' | 'position' | 'fields' | 'caches', unknown>>;

function parseHeader(bytes: Uint8Array): Header {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof header === 'object' && header !== null) return header as Header;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  return mangled('its header is not a JSON object');
}

/** What a file says, fit for a message: it may be of any type and length, and hold control characters. */
const quote = (value: unknown): string => JSON.stringify(value)?.slice(0, 40) ?? 'nothing';

/**
 * The slot's values and the position. Throws `STATE_FORMAT`, `STATE_VERSION`, `STATE_MODEL` (other weights, or the same
 * in another dtype) or `STATE_ADAPTER`.
 */
export function decodeState(owner: StateOwner, bytes: Uint8Array): { position: number; values: Float32Array } {
  if (!(bytes instanceof Uint8Array)) return mangled('it is no Uint8Array');
  if (bytes.length < PREFIX + 4) mangled(`${bytes.length} bytes are too few`);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) mangled('it does not begin with MTSSTATE');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new MambaError(
      'STATE_VERSION',
      `the saved state is of version ${version}, this program reads version ${VERSION}`,
    );
  }
  const headerLength = view.getUint32(12, true);
  if (headerLength > MAX_HEADER || PREFIX + headerLength + 4 > bytes.length) mangled('its header reaches past its end');
  const end = bytes.length - 4;
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) mangled('its checksum is wrong');
  const header = parseHeader(bytes.subarray(PREFIX, PREFIX + headerLength));
  const { fields, caches } = describe(owner.layout);
  if (
    header.fingerprint !== owner.fingerprint ||
    JSON.stringify(header.fields) !== JSON.stringify(fields) ||
    JSON.stringify(header.caches) !== JSON.stringify(caches)
  ) {
    throw new MambaError(
      'STATE_MODEL',
      `the saved state belongs to another model (${quote(header.model)} ${quote(header.fingerprint)}); this one is ` +
        `"${owner.model}" "${owner.fingerprint}". Load it with the model that made it, in the same dtype.`,
      { expected: owner.fingerprint, found: header.fingerprint },
    );
  }
  if (header.adapter !== owner.adapter) {
    throw new MambaError(
      'STATE_ADAPTER',
      `the saved state was made with the adapter ${quote(header.adapter)}, but the model has ${quote(owner.adapter)}. ` +
        'Load it with the adapter that made it (null: with none).',
      { expected: owner.adapter, found: header.adapter },
    );
  }
  const { position } = header;
  if (typeof position !== 'number' || !Number.isSafeInteger(position) || position < 0)
    return mangled('its position is no count');
  const count = owner.layout.length + position * owner.layout.rowLength;
  if (end - PREFIX - headerLength !== 4 * count) mangled('its length does not fit the model');
  const values = new Float32Array(count);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(PREFIX + headerLength + 4 * i, true);
  if (!values.every(Number.isFinite)) mangled('it holds numbers that are not finite');
  return { position, values };
}

/** A saved state that texts are to begin with. Throws what `decodeState` throws, and `STATE_POSITION`. */
export function decodeInitial(owner: StateOwner, bytes: Uint8Array): Float32Array {
  const { position, values } = decodeState(owner, bytes);
  if (position === 0) return values;
  throw new MambaError(
    'STATE_POSITION',
    `a text begins with a state that has read nothing (a tuned one), but this one has read ${position} tokens. Load it as a ` +
      'state, or its session, to go on from there',
    { position },
  );
}
