import {
  type CacheField,
  checkRowCount,
  checkSlot,
  checkSlotPair,
  checkSlotRows,
  checkSlotValues,
  foreignError,
  rowLength,
  type Slot,
  type StateField,
} from '@mamba-ts/tensor';
import type { WasmMemory } from './memory.ts';

// As rust-wasm/src/scalar/attention.rs has it: rows of a page, and numbers side by side in a panel.
const PAGE = 64;
const PANEL = 8;

/** f32 from the start of a page to one cache's keys and values. */
export interface CachePlace {
  readonly keys: number;
  readonly values: number;
}

/**
 * Where the caches lie in a page of 64 rows: per cache and head the keys `[64 / 8][width][8]`, then the values
 * `[width / 8][64][8]`, the last panel filled up; both are then packed matrices for the products of attention.
 */
class PageLayout {
  readonly caches: readonly CacheField[];
  readonly places: readonly CachePlace[];
  /** f32 of a page. */
  readonly length: number;

  constructor(caches: readonly CacheField[]) {
    let next = 0;
    this.caches = caches;
    this.places = caches.map(({ heads, width }) => {
      const values = next + heads * PAGE * width;
      const place = { keys: next, values };
      next = values + heads * PAGE * Math.ceil(width / PANEL) * PANEL;
      return place;
    });
    this.length = next;
  }

  /** Calls `visit` with the place in the page of each number of row `row`, in the order of a logical row. */
  row(row: number, visit: (at: number) => void): void {
    for (const [i, { heads, width }] of this.caches.entries()) {
      const { keys, values } = this.places[i]!;
      const key = keys + (row >> 3) * width * PANEL + (row & 7);
      for (let h = 0; h < heads; h++) {
        for (let d = 0; d < width; d++) visit(key + (h * PAGE * width + d * PANEL));
      }
      const wide = Math.ceil(width / PANEL) * PANEL;
      for (let h = 0; h < heads; h++) {
        for (let d = 0; d < width; d++) visit(values + h * PAGE * wide + ((d >> 3) * PAGE + row) * PANEL + (d & 7));
      }
    }
  }
}

/** One sequence's block and pages. */
export class WasmSlot implements Slot {
  readonly length: number;
  readonly layout: PageLayout;
  readonly address: number;
  readonly pages: number[] = [];
  owner: WasmMemory | null;

  constructor(owner: WasmMemory, length: number, layout: PageLayout, address: number) {
    this.owner = owner;
    this.length = length;
    this.layout = layout;
    this.address = address;
  }
  get caches(): readonly CacheField[] {
    return this.layout.caches;
  }
  get rows(): number {
    return PAGE * this.pages.length;
  }
  get bytes(): number {
    return 4 * (this.length + this.pages.length * this.layout.length);
  }
}

const NO_CACHES = new PageLayout([]);

/** The state slots of one WebAssembly memory. */
export class WasmSlots {
  readonly #memory: WasmMemory;
  /** Of all slots. */
  bytes = 0;
  /** Made once per model: all of its slots share the list of caches. */
  readonly #layouts: WeakMap<readonly CacheField[], PageLayout> = new WeakMap();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  create(length: number, caches: readonly CacheField[]): Slot {
    this.#memory.kernels('createSlot');
    checkSlot(length, caches);
    let layout = caches.length === 0 ? NO_CACHES : this.#layouts.get(caches);
    if (!layout) {
      layout = new PageLayout(caches);
      this.#layouts.set(caches, layout);
    }
    const slot = new WasmSlot(this.#memory, length, layout, this.#zeroed(length, 'createSlot'));
    this.bytes += slot.bytes;
    return slot;
  }

  free(slot: Slot): void {
    this.#memory.checkAlive('freeSlot');
    const own = this.#checkOwn('freeSlot', slot);
    this.bytes -= own.bytes;
    this.#memory.release(own.address, 4 * own.length);
    for (const page of own.pages) this.#memory.release(page, 4 * own.layout.length);
    own.owner = null;
  }

  get(call: string, slot: Slot): WasmSlot {
    this.#memory.kernels(call);
    return this.#checkOwn(call, slot);
  }

  #checkOwn(call: string, slot: Slot): WasmSlot {
    if (!(slot instanceof WasmSlot) || slot.owner !== this.#memory)
      throw foreignError(this.#memory.name, `${call}: the slot`);
    return slot;
  }

  /** The address of a field in a slot. */
  field(call: string, slot: Slot, field: StateField): number {
    return this.get(call, slot).address + 4 * field.offset;
  }

  /** Where a cache lies in the pages of a slot. */
  cache(slot: WasmSlot, cache: CacheField): CachePlace {
    return slot.layout.places[slot.caches.findIndex(({ offset }) => offset === cache.offset)]!;
  }

  /** Whole pages; where one does not fit, those before it go back. */
  reserve(slot: Slot, rows: number): void {
    const own = this.get('reserveRows', slot);
    checkRowCount('reserveRows', rows);
    if (own.caches.length === 0) return;
    const { length } = own.layout;
    const before = own.pages.length;
    try {
      while (own.rows < rows) own.pages.push(this.#zeroed(length, `reserveRows: ${rows} rows of state`));
    } catch (error) {
      for (const page of own.pages.splice(before)) this.#memory.release(page, 4 * length);
      throw error;
    }
    this.bytes += 4 * length * (own.pages.length - before);
  }

  copy(from: Slot, to: Slot, rows: number): void {
    const [source, target] = [this.get('copySlot', from), this.get('copySlot', to)];
    checkSlotPair('copySlot', from, to, rows);
    this.reserve(to, rows);
    const floats = this.#memory.floats();
    const move = (a: number, b: number, length: number) => floats.copyWithin(b / 4, a / 4, a / 4 + length);
    move(source.address, target.address, source.length);
    for (let i = 0; i < Math.ceil(rows / PAGE); i++) move(source.pages[i]!, target.pages[i]!, source.layout.length);
  }

  zero(slot: Slot): void {
    const { address, length, pages, layout } = this.get('zeroSlot', slot);
    const floats = this.#memory.floats();
    floats.fill(0, address / 4, address / 4 + length);
    for (const page of pages) floats.fill(0, page / 4, page / 4 + layout.length);
  }

  read(slot: Slot, rows: number): Float32Array {
    const own = this.get('readSlot', slot);
    checkSlotRows('readSlot', slot, rows);
    const out = new Float32Array(own.length + rows * rowLength(own.caches));
    const floats = this.#memory.floats();
    out.set(floats.subarray(own.address / 4, own.address / 4 + own.length));
    let next = own.length;
    for (let row = 0; row < rows; row++) {
      const start = own.pages[Math.floor(row / PAGE)]! / 4;
      own.layout.row(row % PAGE, (at) => {
        out[next++] = floats[start + at]!;
      });
    }
    return out;
  }

  write(slot: Slot, values: Float32Array): void {
    const own = this.get('writeSlot', slot);
    const rows = checkSlotValues('writeSlot', slot, values.length);
    this.reserve(slot, rows);
    const floats = this.#memory.floats();
    floats.set(values.subarray(0, own.length), own.address / 4);
    let next = own.length;
    for (let row = 0; row < rows; row++) {
      const start = own.pages[Math.floor(row / PAGE)]! / 4;
      own.layout.row(row % PAGE, (at) => {
        floats[start + at] = values[next++]!;
      });
    }
  }

  /** A block of the allocator that holds zeros: the columns that fill up a panel must be. */
  #zeroed(length: number, what: string): number {
    const address = this.#memory.allocate(4 * length, what);
    this.#memory.floats().fill(0, address / 4, address / 4 + length);
    return address;
  }
}
