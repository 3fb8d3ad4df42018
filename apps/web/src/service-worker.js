// The build's files, offline after the first visit. vite.config.ts fills in what the build holds. A new build brings a
// new worker: it fetches its own files whole before it takes over, and drops the old ones then.
const CACHE = `mamba-${__VERSION__}`;
const FILES = __FILES__;

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      // Past the HTTP cache: it would answer ranges of a file from the compressed bytes that it got here.
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'no-store' }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) =>
        Promise.all(names.filter((n) => n.startsWith('mamba-') && n !== CACHE).map((n) => caches.delete(n))),
      )
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method === 'GET' && new URL(request.url).origin === self.location.origin)
    event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  // A server may say that its files vary by the asking page (Vary: Origin): all that ask here are this one's.
  const hit = await cache.match(request, { ignoreSearch: request.mode === 'navigate', ignoreVary: true });
  // A model's folder is here whole: an optional file that it lacks is missing, with a network or without.
  if (!hit) return inModelFolder(request.url) ? new Response(null, { status: 404 }) : fetch(request);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('Range') ?? '');
  return range ? part(hit, Number(range[1]), range[2] === '' ? Infinity : Number(range[2])) : hit;
}

const MODEL_FOLDERS = FILES.filter((file) => file.startsWith('models/')).map(
  (file) => new URL('.', new URL(file, self.registration.scope)).href,
);
const inModelFolder = (url) => MODEL_FOLDERS.includes(new URL('.', url).href);

// Weights are asked for in ranges, as a server would answer them; a cache only has them whole.
async function part(whole, first, wanted) {
  // Not as a Blob: where the server sent the file compressed, Chromium's says that it is as long as it was compressed.
  const bytes = await whole.arrayBuffer();
  const size = bytes.byteLength;
  const last = Math.min(wanted, size - 1);
  if (first > last) return new Response(null, { status: 416, headers: { 'Content-Range': `bytes */${size}` } });
  // With its ETag, so that a load that began at the server goes on here.
  const headers = new Headers(whole.headers);
  headers.delete('Content-Encoding');
  headers.set('Content-Range', `bytes ${first}-${last}/${size}`);
  headers.set('Content-Length', String(last - first + 1));
  return new Response(bytes.slice(first, last + 1), { status: 206, headers });
}
