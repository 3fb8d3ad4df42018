/** What the stories are put together from: each line is one choice. */
const ANIMALS = [
  ['Mila', 'fox', 'she'],
  ['Bruno', 'badger', 'he'],
  ['Ada', 'owl', 'she'],
  ['Otto', 'hare', 'he'],
  ['Tilda', 'otter', 'she'],
  ['Finn', 'frog', 'he'],
  ['Greta', 'mole', 'she'],
  ['Hugo', 'heron', 'he'],
  ['Nora', 'mouse', 'she'],
  ['Emil', 'hedgehog', 'he'],
] as const;

const HOMES = [
  'by the river',
  'under the old oak',
  'behind the mill',
  'at the edge of the wood',
  'near the sea',
  'on the green hill',
  'between two stones',
  'in the churchyard',
] as const;

const TIMES = [
  'One cold morning',
  'One warm evening',
  'On the first day of spring',
  'After a long winter',
  'While everybody slept',
  'Shortly before dinner',
] as const;

/** What is found, and how its story ends. */
const THINGS = [
  ['a red kite', 'They let the red kite fly until the wind was tired.'],
  ['a silver key', 'They tried the silver key in every door, and the last one opened.'],
  ['a blue egg', 'They kept the blue egg warm, and soon a small bird looked at them.'],
  ['an old lantern', 'They lit the old lantern, and the dark went away.'],
  ['a wooden boat', 'They put the wooden boat on the water, and it carried them far.'],
  ['a golden bell', 'They rang the golden bell, and all their friends came to dinner.'],
  ['a torn map', 'They followed the torn map, and it led them in a circle.'],
  ['a basket of plums', 'They shared the basket of plums, and counted the stones.'],
  ['a lost glove', 'They hung the lost glove on a fence, where its owner would see it.'],
  ['an empty bottle', 'They put a letter into the empty bottle, and gave it to the waves.'],
] as const;

const WEATHER = [
  'It was raining.',
  'The sun was shining.',
  'The wind was strong.',
  'Snow lay on the ground.',
  'There was fog over the fields.',
] as const;

/** With the thing as `a red kite` and as `red kite`. */
const QUESTIONS = [
  (_: string, thing: string) => `Whose ${thing} is this?`,
  (_: string, thing: string) => `What can I do with this ${thing}?`,
  (found: string) => `Who has lost ${found}?`,
  (found: string) => `Why does ${found} lie here?`,
] as const;

const ANSWERS = [
  (_: string, thing: string) => `It is not my ${thing}, but I will come with you`,
  (found: string) => `I know what to do with ${found}`,
  (found: string) => `I have looked for ${found} all my life`,
  (found: string) => `You cannot eat ${found}, but let us see`,
] as const;

const NIGHTS = ['slept', 'told nobody', 'dreamed of it', 'was happy'] as const;

/**
 * The text that a visitor finds on the page: stories of one kind, of which even a tiny model writes new ones after some
 * seconds. Who it is, what was found and where home is come again later in each story, so that the state has something
 * to keep. The same text every time.
 */
export function stories(count: number): string {
  let state = 1;
  /** One of the list: by the linear congruential generator of Numerical Recipes. */
  const pick = <T>(list: readonly T[]): T => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return list[Math.floor((state / 2 ** 32) * list.length)]!;
  };
  const story = (): string => {
    const [name, animal, who] = pick(ANIMALS);
    const [friend, kind] = pick(ANIMALS.filter(([other]) => other !== name));
    const home = pick(HOMES);
    const [found, ending] = pick(THINGS);
    const thing = found.replace(/^an? /, '');
    return `${name.toUpperCase()} AND THE ${thing.toUpperCase()}
${name} the ${animal} lived ${home}. ${pick(TIMES)} ${who} found ${found}. ${pick(WEATHER)}
"${pick(QUESTIONS)(found, thing)}" asked ${name}, and went to see ${friend} the ${kind}.
"${pick(ANSWERS)(found, thing)}," said ${friend}.
${ending} Then ${name} went home, and ${pick(NIGHTS)} ${home}.
`;
  };
  return Array.from({ length: count }, story).join('\n');
}
