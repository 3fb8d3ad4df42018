import type { LanguageModel, State } from '@mamba-ts/layers';
import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { integerOption } from './options.ts';

/** A place in the radix tree: the ids from its parent, and the state after them, where one is kept. */
interface Node {
  edge: Int32Array;
  parent: Node | null;
  /** By the first id of their edges. */
  readonly children: Map<number, Node>;
  state: State | null;
}

const createNode = (edge: Int32Array, parent: Node | null): Node => ({
  edge,
  parent,
  children: new Map(),
  state: null,
});

/** How many ids of `edge` agree with `ids` from `start` on. */
function agreeing(edge: Int32Array, ids: Int32Array, start: number): number {
  const end = Math.min(edge.length, ids.length - start);
  let i = 0;
  while (i < end && edge[i] === ids[start + i]) i++;
  return i;
}

/** 256 MiB: a thousand states of a small model, or ninety of one of 130 million parameters. */
const DEFAULT_BYTES = 256 * 2 ** 20;

/**
 * States of one model by the ids that led to them: a radix tree, in which the longest kept prefix of any ids is found
 * in one walk. So chat turns, regenerations and edits read only what changed. States and ids together never take more
 * than `maxBytes`: what was used least recently goes first.
 *
 * How long an answer takes to begin tells whether its prompt was kept. A cache therefore belongs to one user: callers
 * that must not learn of one another need caches of their own.
 */
export class PrefixCache {
  /** Its states fit no other. */
  readonly model: LanguageModel;
  readonly maxBytes: number;
  readonly #root: Node = createNode(new Int32Array(0), null);
  /** Nodes with a state, the least recently used first. */
  readonly #used = new Set<Node>();
  #bytes = 0;

  /** `maxBytes`: for states and their ids together; 0 keeps nothing. Throws `INVALID_OPTION`. */
  constructor(model: LanguageModel, options: { readonly maxBytes?: number } = {}) {
    this.model = model;
    this.maxBytes = integerOption('maxBytes', options.maxBytes, DEFAULT_BYTES, 0);
  }

  /** Of states and ids. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many states are kept. */
  get size(): number {
    return this.#used.size;
  }

  /**
   * A copy of the state after the longest kept prefix of `ids` (all of them included), where that is longer than
   * `beyond`; else null. The copy is the caller's, to continue and to dispose.
   */
  take(ids: Int32Array, beyond = 0): State | null {
    let node = this.#root;
    let depth = 0;
    let found: Node | null = null;
    for (;;) {
      const child = node.children.get(ids[depth]!);
      if (!child || agreeing(child.edge, ids, depth) < child.edge.length) break;
      node = child;
      depth += child.edge.length;
      if (node.state && depth > beyond) found = node;
    }
    if (!found) return null;
    this.#touch(found);
    return found.state!.clone();
  }

  /**
   * Keeps a copy of `state`, which must hold exactly `ids`; one that is kept for them already stays. False where it
   * fits neither the budget nor the memory. Throws `CACHE_KEY` where the state holds another number of ids.
   */
  put(ids: Int32Array, state: State): boolean {
    if (state.position !== ids.length) {
      throw new MambaError('CACHE_KEY', `the state holds ${state.position} ids, but is to be kept for ${ids.length}`);
    }
    if (ids.length === 0 || state.byteLength + 4 * ids.length > this.maxBytes) return false;
    const known = this.#find(ids);
    if (known) {
      this.#touch(known);
      return true;
    }
    // Room is made first, so that there is never a moment over the budget. What goes may be part of the path itself.
    while (this.#bytes + state.byteLength + 4 * this.#missing(ids) > this.maxBytes) this.#evict();
    let copy: State;
    try {
      copy = state.clone();
    } catch (error) {
      if (isMambaError(error, 'OUT_OF_MEMORY')) return false;
      throw error;
    }
    const node = this.#grow(ids);
    node.state = copy;
    this.#used.add(node);
    this.#bytes += copy.byteLength;
    return true;
  }

  /** Disposes all states. */
  clear(): void {
    while (this.#used.size > 0) this.#evict();
  }

  #touch(node: Node): void {
    this.#used.delete(node);
    this.#used.add(node);
  }

  /** As far as the tree goes along with `ids`: the last node that they pass, and how many ids lie on the way. */
  #walk(ids: Int32Array): { node: Node; depth: number; next: Node | undefined; agreed: number } {
    let node = this.#root;
    let depth = 0;
    for (;;) {
      const next = depth < ids.length ? node.children.get(ids[depth]!) : undefined;
      const agreed = next ? agreeing(next.edge, ids, depth) : 0;
      if (!next || agreed < next.edge.length) return { node, depth, next, agreed };
      node = next;
      depth += agreed;
    }
  }

  /** The node of exactly `ids` that has a state. */
  #find(ids: Int32Array): Node | null {
    const { node, depth } = this.#walk(ids);
    return depth === ids.length && node.state ? node : null;
  }

  /** How many of `ids` the tree lacks. */
  #missing(ids: Int32Array): number {
    const { depth, agreed } = this.#walk(ids);
    return ids.length - depth - agreed;
  }

  /** The node of exactly `ids`, made where it is missing. */
  #grow(ids: Int32Array): Node {
    let { node, depth, next, agreed } = this.#walk(ids);
    if (next && agreed > 0) {
      // Parts of edges are copies: a view would keep the whole edge in memory.
      const middle = createNode(next.edge.slice(0, agreed), node);
      node.children.set(middle.edge[0]!, middle);
      next.edge = next.edge.slice(agreed);
      next.parent = middle;
      middle.children.set(next.edge[0]!, next);
      node = middle;
      depth += agreed;
    }
    if (depth === ids.length) return node;
    const leaf = createNode(ids.slice(depth), node);
    node.children.set(leaf.edge[0]!, leaf);
    this.#bytes += 4 * leaf.edge.length;
    return leaf;
  }

  /** Disposes the least recently used state, and takes out what then leads nowhere. */
  #evict(): void {
    const [node] = this.#used;
    if (!node) throw new Error('the cache is empty, but is to give something up');
    this.#used.delete(node);
    this.#bytes -= node.state!.byteLength;
    node.state!.dispose();
    node.state = null;
    const { parent } = node;
    if (node.children.size === 0) {
      parent!.children.delete(node.edge[0]!);
      this.#bytes -= 4 * node.edge.length;
      this.#join(parent!);
    } else {
      this.#join(node);
    }
  }

  /** A node without a state and with one child is no place of its own: its ids go to the child. */
  #join(node: Node): void {
    if (node.parent === null || node.state || node.children.size !== 1) return;
    const [child] = node.children.values();
    const edge = new Int32Array(node.edge.length + child!.edge.length);
    edge.set(node.edge);
    edge.set(child!.edge, node.edge.length);
    child!.edge = edge;
    child!.parent = node.parent;
    node.parent.children.set(edge[0]!, child!);
  }
}
