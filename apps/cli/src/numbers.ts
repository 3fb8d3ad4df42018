import { InvalidArgumentError } from 'commander';

/** A parser of whole numbers of at least `low`. */
export const integer =
  (low: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < low) {
      throw new InvalidArgumentError(`expected a whole number of at least ${low}, found "${text}".`);
    }
    return value;
  };

const number = (accept: (value: number) => boolean, expected: string) => (text: string) => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || !accept(value)) {
    throw new InvalidArgumentError(`expected ${expected}, found "${text}".`);
  }
  return value;
};

export const nonNegative: (text: string) => number = number((value) => value >= 0, 'a number of at least 0');
export const positive: (text: string) => number = number((value) => value > 0, 'a number above 0');
export const fraction: (text: string) => number = number((value) => value >= 0 && value <= 1, 'a number from 0 to 1');

/** Names between commas. */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.some((name) => name === ''))
    throw new InvalidArgumentError(`expected names separated by commas, found "${text}".`);
  return list;
}

/** Ascending whole numbers between commas. */
export function lengths(text: string): number[] {
  const list = names(text).map(integer(1));
  if (list.some((value, i) => i > 0 && value <= list[i - 1]!))
    throw new InvalidArgumentError(`expected ascending numbers, found "${text}".`);
  return list;
}

/** `8` or `0-15`: the first and the last of a range. */
export function channels(text: string): [from: number, to: number] {
  const found = /^(\d+)(?:-(\d+))?$/.exec(text);
  const [from, to] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
  if (!found || from > to) throw new InvalidArgumentError(`expected a range such as 0-15, found "${text}".`);
  return [from, to];
}
