// The browser's worker: renders one template.
import type { RenderRequest } from './budget.ts';
import { render } from './render.ts';

self.addEventListener('message', ({ data }) => self.postMessage(render(data as RenderRequest)));
self.postMessage('ready');
