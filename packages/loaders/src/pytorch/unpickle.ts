import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';

/** A storage that a pickle names: `numel` elements of one type in the archive's file `data/<key>`. */
export interface StorageRef {
  readonly kind: 'storage';
  /** As PyTorch calls it: `FloatStorage`. */
  readonly type: string;
  readonly key: string;
  readonly numel: number;
}

/** A tensor as a view of a storage; offsets and strides count elements. Nothing of it is checked yet. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

interface Global {
  readonly kind: 'global';
  readonly name: string;
}

/** Apart from whole numbers: Python takes no 3.0 for a size. */
interface Float {
  readonly kind: 'float';
  readonly value: number;
}

/** Attributes may be set on it, unlike on a plain dictionary. */
class OrderedDict extends Map<Pickled, Pickled> {}

/** A frozen list is a tuple. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Float
  | readonly Pickled[]
  | Map<Pickled, Pickled>
  | Global
  | StorageRef
  | TensorRef;

const STORAGE = /^torch (?:Float|Half|BFloat16|Double|Long|Int|Short|Char|Byte|Bool)Storage$/;
/** Of those, the ones that gradients are taken of. */
const FLOATING = /^(?:Float|Half|BFloat16|Double)Storage$/;
/** What a pickle may name besides storages. Names only: nothing of Python is ever called. */
const CALLABLE = new Set([
  'collections OrderedDict',
  'torch._utils _rebuild_tensor_v2',
  'torch._utils _rebuild_parameter',
  'torch Size',
]);

const LIMITS = { operations: 4_194_304, memo: 1_048_576, depth: 65_536, global: 256, rank: 32 } as const;
const MARK: unique symbol = Symbol('mark');
type Slot = Pickled | typeof MARK;

export interface Unpickled {
  readonly value: Pickled;
  /** All that it names, whether or not the value still holds them: PyTorch would read them. */
  readonly storages: ReadonlyMap<string, StorageRef>;
  readonly tensors: readonly TensorRef[];
}

/**
 * The value of a pickle of protocol 2 as `torch.save` writes it, made of inert data. Opcodes and globals are allow-lists.
 * Nothing is accepted that PyTorch's `weights_only` unpickler refuses (torch/_weights_only_unpickler.py, torch/_utils.py).
 * Throws `PYTORCH_PICKLE` (damaged, or an opcode outside of the list), `PYTORCH_GLOBAL` (a name outside of the list: the
 * file would run code in Python), `PYTORCH_LIMIT`.
 */
export function unpickle(bytes: Uint8Array, file: string): Unpickled {
  return new Unpickler(bytes, file).run();
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Pickled>();
  readonly #storages = new Map<string, StorageRef>();
  readonly #tensors: TensorRef[] = [];
  #at = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  run(): Unpickled {
    for (let operations = 0; ; operations++) {
      if (operations > LIMITS.operations || this.#stack.length > LIMITS.depth || this.#memo.size > LIMITS.memo) {
        throw new MambaError('PYTORCH_LIMIT', `${this.#file}: its pickle is larger than that of any checkpoint`, {
          file: this.#file,
        });
      }
      const op = this.#bytes[this.#take(1)]!;
      if (op === 0x2e /* STOP */) {
        const value = this.#pop();
        if (this.#stack.length > 0 || this.#at !== this.#bytes.length) this.#fail('it goes on after its end');
        return { value, storages: this.#storages, tensors: this.#tensors };
      }
      this.#execute(op);
    }
  }

  #execute(op: number): void {
    const stack = this.#stack;
    switch (op) {
      case 0x80: // PROTO
        if (this.#bytes[this.#take(1)] !== 2 || this.#at !== 2) this.#fail('it is not of protocol 2');
        return;
      case 0x28: // MARK
        stack.push(MARK);
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(op === 0x88);
        return;
      case 0x4a: // BININT
        stack.push(this.#view.getInt32(this.#take(4), true));
        return;
      case 0x4b: // BININT1
        stack.push(this.#bytes[this.#take(1)]!);
        return;
      case 0x4d: // BININT2
        stack.push(this.#view.getUint16(this.#take(2), true));
        return;
      case 0x8a: // LONG1
        stack.push(this.#long());
        return;
      case 0x47: // BINFLOAT
        stack.push({ kind: 'float', value: this.#view.getFloat64(this.#take(8), false) });
        return;
      case 0x58: // BINUNICODE
        stack.push(this.#text(this.#view.getUint32(this.#take(4), true)));
        return;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        return;
      case 0x29: // EMPTY_TUPLE
        stack.push(Object.freeze([]));
        return;
      case 0x74: // TUPLE
        stack.push(Object.freeze(this.#popToMark()));
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        const items: Pickled[] = [];
        for (let n = op - 0x84; n > 0; n--) items.unshift(this.#pop());
        stack.push(Object.freeze(items));
        return;
      }
      case 0x71: // BINPUT
        this.#memo.set(this.#bytes[this.#take(1)]!, this.#top());
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#view.getUint32(this.#take(4), true), this.#top());
        return;
      case 0x68: // BINGET
        this.#recall(this.#bytes[this.#take(1)]!);
        return;
      case 0x6a: // LONG_BINGET
        this.#recall(this.#view.getUint32(this.#take(4), true));
        return;
      case 0x61: // APPEND
        this.#extend([this.#pop()]);
        return;
      case 0x65: // APPENDS
        this.#extend(this.#popToMark());
        return;
      case 0x73: {
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        return;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popToMark());
        return;
      case 0x63: // GLOBAL
        stack.push(this.#global());
        return;
      case 0x52: // REDUCE
        this.#reduce();
        return;
      case 0x51: // BINPERSID
        stack.push(this.#storage(this.#pop()));
        return;
      case 0x62: // BUILD: attributes of an OrderedDict (`_metadata`), which say nothing of the weights
        if (!(this.#pop() instanceof Map) || !(this.#top() instanceof OrderedDict)) {
          this.#fail('it sets attributes of something that is no OrderedDict');
        }
        return;
      default:
        this.#fail(`it has the opcode 0x${op.toString(16)}, which checkpoints do not need`);
    }
  }

  #fail(what: string): never {
    throw new MambaError(
      'PYTORCH_PICKLE',
      `${this.#file}: the pickle in it is refused before its byte ${this.#at}: ${what}. Convert the checkpoint to safetensors.`,
      { file: this.#file, offset: this.#at },
    );
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) this.#fail('it ends too soon');
    this.#at += length;
    return at;
  }

  #text(length: number): string {
    const at = this.#take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.#fail('a text in it is not UTF-8');
    }
  }

  /** A whole number of up to 8 bytes, which must be exact. */
  #long(): number {
    const length = this.#bytes[this.#take(1)]!;
    if (length > 8) this.#fail('a number in it has more than 64 bits');
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    const signed = Number(BigInt.asIntN(8 * length, value));
    return Number.isSafeInteger(signed) ? signed : this.#fail('a number in it is beyond 2^53');
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) this.#fail('its stack is empty');
    return value as Pickled;
  }

  #top(): Pickled {
    const value = this.#stack.at(-1);
    if (value === undefined || value === MARK) this.#fail('its stack is empty');
    return value as Pickled;
  }

  #popToMark(): Pickled[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) this.#fail('it has no mark');
    const items = this.#stack.splice(mark + 1) as Pickled[];
    this.#stack.pop();
    return items;
  }

  #recall(key: number): void {
    const value = this.#memo.get(key);
    if (value === undefined) this.#fail(`it recalls ${key}, which it never kept`);
    this.#stack.push(value as Pickled);
  }

  #extend(items: readonly Pickled[]): void {
    const list = this.#top();
    if (!Array.isArray(list) || Object.isFrozen(list)) this.#fail('it appends to what is no list');
    // One by one: a spread of many is a call with many arguments.
    for (const item of items) (list as Pickled[]).push(item);
  }

  #setItems(items: readonly Pickled[]): void {
    const map = this.#top();
    if (!(map instanceof Map) || items.length % 2 !== 0) this.#fail('it sets items of what is no dictionary');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i] as Pickled;
      if (typeof key === 'object' && key !== null)
        this.#fail('a key of a dictionary in it is neither a text nor a number');
      (map as Map<Pickled, Pickled>).set(key, items[i + 1]!);
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > LIMITS.global) this.#fail('a name in it has no end');
    const line = this.#text(end - this.#at);
    this.#at++;
    return line;
  }

  #global(): Global {
    const name = `${this.#line()} ${this.#line()}`;
    if (CALLABLE.has(name) || STORAGE.test(name)) return { kind: 'global', name };
    throw new MambaError(
      'PYTORCH_GLOBAL',
      `${this.#file} names ${shownName(name.replace(' ', '.'))}, which is not needed for weights; in Python it could run ` +
        'code. It is refused. Convert the checkpoint to safetensors where you trust it.',
      { file: this.#file, global: name },
    );
  }

  #reduce(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (!Array.isArray(args) || !isKind(callee, 'global') || !CALLABLE.has(callee.name)) {
      this.#fail('it calls what cannot be called');
    }
    this.#stack.push(this.#call((callee as Global).name, args as readonly Pickled[]));
  }

  #call(name: string, args: readonly Pickled[]): Pickled {
    switch (name) {
      case 'collections OrderedDict':
        return args.length === 0 ? new OrderedDict() : this.#fail('an OrderedDict in it does not begin empty');
      case 'torch Size':
        return args.length === 1
          ? Object.freeze(this.#numbers(args[0]))
          : this.#fail('a shape in it is not made of one list');
      case 'torch._utils _rebuild_parameter': {
        const [tensor, gradient, hooks] = args;
        if (args.length !== 3 || !isTensor(tensor)) return this.#fail('a parameter in it is no tensor');
        this.#checkGradient(tensor.storage, gradient, hooks);
        return tensor;
      }
      default: {
        // A seventh argument could change the signs of all values.
        const [storage, offset, shape, stride, gradient, hooks] = args;
        if (args.length !== 6 || !isKind(storage, 'storage') || typeof offset !== 'number') {
          return this.#fail('a tensor in it has no storage, or more than checkpoints need');
        }
        this.#checkGradient(storage, gradient, hooks);
        const numbers = { shape: this.#numbers(shape), stride: this.#numbers(stride) };
        const tensor: TensorRef = { kind: 'tensor', storage, offset, ...numbers };
        this.#tensors.push(tensor);
        return tensor;
      }
    }
  }

  #checkGradient({ type }: StorageRef, required: Pickled | undefined, hooks: Pickled | undefined): void {
    const fine = required === false || (required === true && FLOATING.test(type));
    if (!fine || !(hooks instanceof Map)) this.#fail('a tensor in it has no gradient as PyTorch knows it');
  }

  #numbers(value: Pickled | undefined): number[] {
    // The length first: one long list, recalled for each of many tensors, would be copied as often.
    const fine = Array.isArray(value) && value.length <= LIMITS.rank && value.every((each) => typeof each === 'number');
    if (!fine) this.#fail(`a shape in it is no list of at most ${LIMITS.rank} whole numbers`);
    return [...(value as number[])];
  }

  /** `('storage', type, key, device, numel)`. */
  #storage(id: Pickled): StorageRef {
    const fields = Array.isArray(id) && Object.isFrozen(id) && id.length === 5 ? (id as readonly Pickled[]) : [];
    const [word, type, key, device, numel] = fields;
    const named = isKind(type, 'global') && STORAGE.test(type.name);
    const fine = word === 'storage' && named && typeof key === 'string' && typeof device === 'string';
    if (!fine || typeof numel !== 'number') return this.#fail('a storage in it is not described');
    const found = { kind: 'storage', type: type.name.slice('torch '.length), key, numel } as const;
    const before = this.#storages.get(key);
    if (before && (before.type !== found.type || before.numel !== numel)) {
      // PyTorch would take the first description for both.
      this.#fail(`the storage ${shownName(key)} in it is described in two ways`);
    }
    this.#storages.set(key, found);
    return found;
  }
}

function isKind<K extends 'global' | 'storage' | 'tensor'>(
  value: Pickled | undefined,
  kind: K,
): value is Extract<Pickled, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === kind;
}

/** Whether a value is a tensor. */
export const isTensor = (value: Pickled | undefined): value is TensorRef => isKind(value, 'tensor');
