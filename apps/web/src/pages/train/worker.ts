// Trains one model, then is ended by the page.
import { tellError } from '../../problem.ts';
import type { TrainCommand, TrainMessage } from './messages.ts';
import { train, WishBox } from './session.ts';

const say = (message: TrainMessage): void => self.postMessage(message);
const wishes = new WishBox();

self.addEventListener('message', async ({ data }: MessageEvent<TrainCommand>) => {
  if (data.kind === 'wish') return wishes.set(data.wish);
  try {
    await train(data.request, wishes, say);
  } catch (error) {
    say(tellError(error));
  }
});
