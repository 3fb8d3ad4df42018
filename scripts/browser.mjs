/**
 * The Chromium that tests and screenshots run in: the system's; else playwright's download; else Debian's package, where
 * this is root on Debian. Everything said here goes to stderr.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pinnedEnvironment, root, say } from './setup.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge'];
const PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
];

const isExecutable = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The path of an installed Chromium, or null. CHROME_PATH wins. */
export async function findBrowser() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = [
    process.env.CHROME_PATH,
    ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name))),
    ...PLACES,
    await downloadedPath(),
  ];
  return candidates.find((path) => path && isExecutable(path)) ?? null;
}

/** Where playwright's own download lies, or would. */
async function downloadedPath() {
  const require = createRequire(join(root, 'package.json'));
  try {
    const { chromium } = await import(pathToFileURL(require.resolve('playwright')).href);
    return chromium.executablePath();
  } catch {
    return null;
  }
}

const attempt = (command, args) => {
  say(`no Chromium found; trying: ${command} ${args.join(' ')}`);
  return spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: pinnedEnvironment() }).status === 0;
};

/** The path of a Chromium, installed where there was none. Throws under CI=true where none can be had; else null. */
export async function ensureBrowser() {
  const found = await findBrowser();
  if (found) return found;
  const playwright = join(root, 'node_modules/playwright/cli.js');
  attempt(process.execPath, [playwright, 'install', 'chromium']);
  let installed = await findBrowser();
  if (!installed && existsSync('/etc/debian_version') && process.getuid?.() === 0) {
    if (attempt('apt-get', ['update'])) attempt('apt-get', ['install', '-y', '--no-install-recommends', 'chromium']);
    installed = await findBrowser();
  }
  if (installed) return installed;
  const remedy = 'Install Chromium or Chrome, or name one in CHROME_PATH.';
  if (process.env.CI === 'true') throw new Error(`no Chromium could be found or installed. ${remedy}`);
  say(`!! SKIPPED: no Chromium could be found or installed, so nothing was tested in a browser. ${remedy}`);
  return null;
}
