/** Milliseconds that may pass between two turns of the event loop: under a frame of 16.7 ms. */
const TURN_MS = 12;

/**
 * Lets the event loop run. A promise that is resolved already does not: `await` alone only drains microtasks, so that
 * clicks, timers, messages and signals would wait until the whole text is there. `setTimeout` would do, but browsers
 * delay nested ones by 4 ms, and by a second in hidden tabs; messages and `setImmediate` (Node) come at once.
 */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/**
 * A function to await between units of work: at most every 12 ms it gives one turn to the event loop, otherwise it
 * costs a look at the clock. It reads the real clock, for a frozen one passed in for measuring must not freeze a page.
 */
export function createPause(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < TURN_MS) return;
    await turn();
    last = performance.now();
  };
}
