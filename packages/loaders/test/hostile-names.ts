/** Names that mean a place outside of a folder to some system, shell, decoder or reader. None may be taken for a file. */

const DOTS = [
  ...['..', '../..', '...', '. .', '..\0', '.. ', ' ..', '..\t', '..;', './..', '%2e%2e', '%2E.', '.%2e', '%252e%252e'],
  ...[
    '%c0%ae%c0%ae',
    '%uff0e%uff0e',
    '\uff0e\uff0e',
    '\u2025',
    '\u2024\u2024',
    '\u202e..',
    '\ufeff..',
    'a/..',
    'a/b/../..',
  ],
];

const SEPARATORS = [
  ...['/', '\\', '//', '/./', '\\/', '/\\', '\0/', '\n/', ':', '%2f', '%2F', '%5c', '%252f', '%c0%af', '%u2215'],
  ...['\uff0f', '\u2215', '\u2044', '\u29f8', '\ufe68'],
];

const ENDS = ['config.json', 'etc/passwd'];

const ABSOLUTE = [
  ...[
    '/etc/passwd',
    '//host/share/x',
    '\\\\host\\share\\x',
    '\\\\?\\C:\\x',
    '\\\\.\\pipe\\x',
    '/dev/stdin',
    '/dev/shm/x',
  ],
  ...[
    '/proc/self/environ',
    'C:\\x',
    'C:x',
    'c:/x',
    'C:',
    'file:///etc/passwd',
    'file:x',
    'http://h/x',
    'https:x',
    '//h',
  ],
  ...[
    'data:,x',
    'blob:x',
    'javascript:x',
    '~',
    '~/x',
    '~root/x',
    '$HOME/x',
    '$(HOME)',
    '%SYSTEMROOT%\\x',
    '$(id)',
    '`id`',
  ],
];

const DEVICES = ['con', 'CON', 'prn', 'aux', 'nul', 'com1', 'COM9', 'lpt1', 'LPT9'].flatMap((device) => [
  ...['', '.', '.safetensors', '.tar.gz', ':', ' '].map((end) => device + end),
]);

const ODD = [
  ...[
    '',
    '.',
    ' ',
    '/',
    '\\',
    '\0',
    '.git',
    '.git/config',
    '.x',
    '-rf',
    '--help',
    'x.',
    'x ',
    ' x',
    '\tx',
    'x\n',
    'x\r\ny',
  ],
  ...[
    'x\0.safetensors',
    'x:stream',
    'x::$DATA',
    'x?y',
    'x#y',
    'x*',
    'x|y',
    '<x>',
    '"x"',
    "'x'",
    'x;y',
    'x&y',
    'x!',
    'x%00',
  ],
  ...[
    'x/',
    'x//y',
    '/x',
    './x',
    'x/.',
    'x/./y',
    '\u202egnp.exe',
    'x\u200b',
    'x\u0301',
    '\ud800',
    'x\udfff',
    '\u{1f40d}',
  ],
  ...['x'.repeat(256), 'x'.repeat(100_000), 'a/'.repeat(100), '../'.repeat(100)],
];

/** One character that is wrong, in the middle of a name that is plain without it. */
const ONE_WRONG = [...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)), '\u00e9', '\u2028', '\ufeff']
  .filter((character) => !/^[A-Za-z0-9._+=@,()[\] /-]$/.test(character))
  .map((character) => `a${character}b`);

/** More than 500 names, each once; plain ones behind `/`, which repositories of a hub may have, are not among them. */
export const HOSTILE_NAMES: readonly string[] = [
  ...new Set([
    ...DOTS.flatMap((dots) => SEPARATORS.flatMap((separator) => ENDS.map((end) => dots + separator + end))),
    ...SEPARATORS.map((separator) => `a${separator}..${separator}b`),
    ...ONE_WRONG,
    ...DOTS,
    ...ABSOLUTE,
    ...DEVICES,
    ...ODD,
  ]),
];
