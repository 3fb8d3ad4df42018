// The WebAssembly builds of rust-wasm/ and the pinned tools that make them. Shared by build-wasm and check-wasm.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const crate = join(root, 'rust-wasm');
export const output = join(root, 'packages', 'kernels', 'wasm');
const hashFile = join(output, 'hashes.json');

/**
 * One row per build: the file's name and the features of its instruction set. Those with `threads` work on an imported
 * shared memory, which takes a standard library built for it: `-Z build-std`, and hence RUSTC_BOOTSTRAP.
 */
export const builds = [
  { name: 'simd128', features: '+simd128' },
  { name: 'relaxed-simd', features: '+simd128,+relaxed-simd' },
  { name: 'simd128-threads', features: '+simd128,+atomics,+bulk-memory', threads: true },
  { name: 'relaxed-simd-threads', features: '+simd128,+relaxed-simd,+atomics,+bulk-memory', threads: true },
];

/** For the linker: 32 pages to begin with, as packages/kernels/src/instance.ts has it, up to 4 GiB. */
const THREADS_LINK = [
  '--shared-memory',
  '--import-memory',
  '--initial-memory=2097152',
  '--max-memory=4294967296',
  ...['__stack_pointer', '__tls_size', '__wasm_init_tls'].map((name) => `--export=${name}`),
];

const TOOLS = { 'wasm-pack': '0.15.1', 'wasm-bindgen-cli': '0.2.126' };
const COMMANDS = { 'wasm-pack': 'wasm-pack', 'wasm-bindgen-cli': 'wasm-bindgen' };

function run(command, args, options = {}) {
  // stdout is the caller's result; what the tools say is progress.
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options });
  if (error) throw new Error(`${command} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed with exit code ${status}`);
}

const answer = (command, args, options = {}) =>
  spawnSync(command, args, { encoding: 'utf8', ...options }).stdout?.trim() ?? '';

/** Installs what the build needs and this machine lacks: the target by rustup, the tools by cargo. */
export function ensureTools() {
  if (!answer('rustup', ['target', 'list', '--installed'], { cwd: crate }).includes('wasm32-unknown-unknown')) {
    run('rustup', ['target', 'add', 'wasm32-unknown-unknown'], { cwd: crate });
  }
  // Its sources are what the builds with threads make the standard library from.
  if (!answer('rustup', ['component', 'list', '--installed'], { cwd: crate }).includes('rust-src')) {
    run('rustup', ['component', 'add', 'rust-src'], { cwd: crate });
  }
  for (const [tool, version] of Object.entries(TOOLS)) {
    if (answer(COMMANDS[tool], ['--version']).split(' ')[1] !== version) {
      run('cargo', ['install', tool, '--version', version], { cwd: crate });
    }
  }
}

/** Builds everything into `folder`. */
export function buildAll(folder) {
  mkdirSync(folder, { recursive: true });
  const sysroot = answer('rustc', ['--print', 'sysroot'], { cwd: crate });
  // Paths of this machine would otherwise stand in panic messages, and the bytes would depend on them.
  const cargo = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const registry = join(cargo, 'registry', 'src');
  const crates = existsSync(registry) ? readdirSync(registry).map((index) => [join(registry, index), '/crates']) : [];
  // Where several apply, rustc takes the last: from the general to the special.
  const remap = [[homedir(), '/home'], [cargo, '/cargo'], ...crates, [sysroot, '/rust'], [root, '/mamba-ts']].map(
    ([from, to]) => `--remap-path-prefix=${from}=${to}`,
  );
  for (const { name, features, threads } of builds) {
    const flags = [`-Ctarget-feature=${features}`, ...remap];
    // A target folder each: with the flags of another, cargo would make everything anew.
    (threads ? cargoBuild : packBuild)(flags, join(folder, `${name}.wasm`), join(crate, 'target', name));
  }
}

function packBuild(flags, file, target) {
  const pack = mkdtempSync(join(tmpdir(), 'mamba-wasm-'));
  try {
    const names = ['--target', 'web', '--release', '--out-dir', pack, '--out-name', 'kernels'];
    run('wasm-pack', ['build', crate, '--mode', 'no-install', ...names], {
      env: { ...process.env, CARGO_TARGET_DIR: target, RUSTFLAGS: flags.join(' ') },
    });
    // Only the module is kept: wasm-pack's JavaScript holds one instance per program, ours one per backend; and its
    // .gitignore of * would keep the module out of the npm package.
    copyFileSync(join(pack, 'kernels_bg.wasm'), file);
  } finally {
    rmSync(pack, { recursive: true, force: true });
  }
}

/** Without wasm-pack, whose bindings would add a start of threads of their own: packages/kernels/src/pool.ts is ours. */
function cargoBuild(flags, file, target) {
  const triple = 'wasm32-unknown-unknown';
  run('cargo', ['build', '--release', '--locked', '--lib', '--target', triple, '-Z', 'build-std=panic_abort,std'], {
    cwd: crate,
    env: {
      ...process.env,
      CARGO_TARGET_DIR: target,
      RUSTC_BOOTSTRAP: '1',
      RUSTFLAGS: [...flags, '-Cstrip=symbols', ...THREADS_LINK.map((arg) => `-Clink-arg=${arg}`)].join(' '),
    },
  });
  writeFileSync(file, readFileSync(join(target, triple, 'release', 'mamba_kernels.wasm')));
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Of everything that decides the bytes: the crate's sources and the table above. */
function sourceHash() {
  const files = ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml'].map((file) => join(crate, file));
  const sources = readdirSync(join(crate, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const hash = createHash('sha256').update(JSON.stringify({ builds, TOOLS }));
  for (const file of [...files, ...sources.sort()]) {
    hash.update(relative(crate, file)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

export function currentHashes() {
  const files = builds.map(({ name }) => `${name}.wasm`);
  const wasm = files.map((file) => {
    const path = join(output, file);
    return [file, existsSync(path) ? sha256(readFileSync(path)) : 'missing'];
  });
  return { rust: sourceHash(), wasm: Object.fromEntries(wasm) };
}

export const recordedHashes = () => (existsSync(hashFile) ? JSON.parse(readFileSync(hashFile, 'utf8')) : null);

export function recordHashes() {
  writeFileSync(hashFile, `${JSON.stringify(currentHashes(), null, 2)}\n`);
}
