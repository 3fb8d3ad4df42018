/** Runs a stream to its end, for its result. */
export async function drain<R>(stream: AsyncGenerator<unknown, R, void>): Promise<R> {
  for (;;) {
    const step = await stream.next();
    if (step.done) return step.value;
  }
}
