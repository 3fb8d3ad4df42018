/** Milliseconds that the rate is taken over: long enough to be steady, short enough to follow the network. */
const WINDOW = 3000;

/** Bytes per second over the last seconds, from how much there was when. */
export class Rate {
  #seen: { readonly at: number; readonly bytes: number }[] = [];

  /** Null for the first half second: what came before is not known. */
  add(bytes: number, at: number): number | null {
    this.#seen.push({ at, bytes });
    while (this.#seen.length > 2 && this.#seen[1]!.at <= at - WINDOW) this.#seen.shift();
    const first = this.#seen[0]!;
    return at - first.at < 500 ? null : ((bytes - first.bytes) / (at - first.at)) * 1000;
  }
}
