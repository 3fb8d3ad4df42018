import { expect, test } from 'vitest';
// @ts-expect-error: a script without types
import { recorded, transcript } from './record-chat.mjs';

test('the terminal session in docs/chat.md is what happens (else: node scripts/record-chat.mjs)', async () => {
  expect(await transcript()).toBe(await recorded());
});
