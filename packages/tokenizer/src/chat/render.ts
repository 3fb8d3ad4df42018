import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import type { RenderAnswer, RenderRequest } from './budget.ts';

// Runs in a worker that is killed when it takes too long (see budget.ts). What is bounded here besides keeps a template
// from taking much memory at once, which nobody could stop in time in a browser.

/** Code units of the longest text that a template may make, on its way or in the end. */
const MAX_TEXT = 2 ** 24;
/** Elements of the longest list. */
const MAX_LIST = 100_000;

/** The template itself said that it cannot make this conversation, by `raise_exception`. */
class Raised extends Error {}
/** A bound of this file was passed. */
class TooLarge extends Error {}

type Value = ReturnType<Interpreter['evaluate']>;

class BoundedInterpreter extends Interpreter {
  override evaluate(...args: Parameters<Interpreter['evaluate']>): Value {
    const result = super.evaluate(...args);
    const { value } = result as { value: unknown };
    if (typeof value === 'string' && value.length > MAX_TEXT)
      throw new TooLarge(`a text of ${value.length} characters`);
    if (Array.isArray(value) && value.length > MAX_LIST) throw new TooLarge(`a list of ${value.length} elements`);
    return result;
  }
}

function range(first: number, end?: number, step = 1): number[] {
  const [start, stop] = end === undefined ? [0, first] : [first, end];
  if (step === 0) throw new Error('range() step must not be zero');
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_LIST)) throw new TooLarge(`a range of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

const pad = (n: number): string => String(n).padStart(2, '0');
const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Python's strftime in the C locale, of what templates use. */
function strftime(date: Date, format: string): string {
  const parts: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    m: pad(date.getMonth() + 1),
    d: pad(date.getDate()),
    b: MONTHS[date.getMonth()]!.slice(0, 3),
    B: MONTHS[date.getMonth()]!,
    a: DAYS[date.getDay()]!.slice(0, 3),
    A: DAYS[date.getDay()]!,
    H: pad(date.getHours()),
    M: pad(date.getMinutes()),
    S: pad(date.getSeconds()),
    y: pad(date.getFullYear() % 100),
    '%': '%',
  };
  return format.replace(/%(.)/g, (whole, letter: string) => (Object.hasOwn(parts, letter) ? parts[letter]! : whole));
}

/** Never throws: what goes wrong is the answer. */
export function render({ source, variables }: RenderRequest): RenderAnswer {
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  } catch (error) {
    return { code: 'CHAT_TEMPLATE_SYNTAX', message: (error as Error).message };
  }
  try {
    const environment = new Environment();
    const globals = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      range,
      strftime_now: (format: string) => strftime(new Date(), format),
      raise_exception: (message: string) => {
        throw new Raised(message);
      },
    };
    for (const [name, value] of Object.entries({ ...variables, ...globals })) environment.set(name, value);
    const { value } = new BoundedInterpreter(environment).run(program) as { value: unknown };
    return { text: String(value) };
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof Raised) return { code: 'CHAT_TEMPLATE_RAISED', message };
    if (error instanceof TooLarge) return { code: 'CHAT_TEMPLATE_MEMORY', message };
    // The engine's own bound on the length of texts.
    if (/string length/i.test(message)) return { code: 'CHAT_TEMPLATE_MEMORY', message };
    return { code: 'CHAT_TEMPLATE_RUN', message };
  }
}
