import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

// `npm test` (scripts/test.mjs) finds the browser and names it here; without it only Node's project runs.
const browser = process.env.MAMBA_CHROMIUM;

/** Tests that need Node's files, processes or servers; all others run in a browser too. */
const NODE_ONLY = '**/*.node.test.ts';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    projects: [
      {
        test: {
          name: 'node',
          include: [
            'packages/*/{src,test}/**/*.test.ts',
            'apps/*/test/**/*.test.ts',
            'scripts/**/*.test.ts',
            'fuzz/**/*.test.ts',
          ],
          testTimeout: 60_000,
          // The tests of the page build the site first.
          hookTimeout: 60_000,
        },
      },
      ...(browser
        ? [
            {
              // Fixtures are fetched from the root; cross-origin isolation gives SharedArrayBuffer.
              server: {
                headers: {
                  'Cross-Origin-Opener-Policy': 'same-origin',
                  'Cross-Origin-Embedder-Policy': 'require-corp',
                },
              },
              // Found only when a worker starts, it would reload the page in the middle of a test.
              optimizeDeps: { include: ['mamba-ts > @mamba-ts/tokenizer > @huggingface/jinja'] },
              test: {
                name: 'chromium',
                include: ['packages/*/{src,test}/**/*.test.ts'],
                exclude: [NODE_ONLY],
                testTimeout: 60_000,
                browser: {
                  enabled: true,
                  headless: true,
                  screenshotFailures: false,
                  provider: playwright({
                    launchOptions: {
                      executablePath: browser,
                      args: ['--no-sandbox', '--disable-background-networking'],
                    },
                  }),
                  instances: [{ browser: 'chromium' as const }],
                },
              },
            },
          ]
        : []),
    ],
  },
});
