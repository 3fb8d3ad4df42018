// The browser's worker: renders one template.
import { type RenderRequest, render } from './render.ts';

self.addEventListener('message', ({ data }) => self.postMessage(render(data as RenderRequest)));
self.postMessage('ready');
