/**
 * A 64-bit running hash that tells models apart (two 32-bit lanes in the manner of MurmurHash3's body and finaliser).
 * It guards against mistakes, not against forgery.
 */
export class Fingerprint {
  #a = 0x9747b28c;
  #b = 0x3c6ef372;

  bytes(data: Uint8Array): this {
    let a = this.#a;
    let b = this.#b;
    for (const byte of data) {
      a = Math.imul(a ^ byte, 0xcc9e2d51);
      a = (a << 15) | (a >>> 17);
      b = Math.imul(b + byte, 0x1b873593) ^ a;
      b = (b << 13) | (b >>> 19);
    }
    this.#a = a ^ data.length;
    this.#b = b + data.length;
    return this;
  }

  text(value: string): this {
    return this.bytes(new TextEncoder().encode(value));
  }

  /** 16 hexadecimal digits. */
  digest(): string {
    const mix = (h: number): string => {
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      return ((h ^ (h >>> 16)) >>> 0).toString(16).padStart(8, '0');
    };
    return mix(this.#a) + mix(this.#b ^ this.#a);
  }
}
