import type { Page } from 'playwright';
import { expect } from 'vitest';

/**
 * No task over 50 ms on the page's main thread while `work` runs. Wall time: what else runs on the machine counts too, so
 * one quiet run of five must do. A page that blocks blocks in each.
 */
export async function expectNoLongTask(page: Page, work: () => Promise<void>): Promise<void> {
  await page.evaluate(() => {
    const long: { start: number; ms: number }[] = [];
    Object.assign(window, { long });
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) long.push({ start: startTime, ms: duration });
    }).observe({ type: 'longtask' });
  });
  const runs: number[][] = [];
  for (let run = 0; run < 5 && !runs.some((tasks) => tasks.length === 0); run++) {
    await page.evaluate(() => Object.assign(window, { from: performance.now() }));
    await work();
    runs.push(
      await page.evaluate(() => {
        const { long, from } = window as unknown as { long: { start: number; ms: number }[]; from: number };
        return long.filter(({ start }) => start >= from).map(({ ms }) => ms);
      }),
    );
  }
  expect(runs).toContainEqual([]);
}
