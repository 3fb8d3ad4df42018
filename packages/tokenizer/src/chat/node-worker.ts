// Node's worker: a process that renders one template.
import type { RenderRequest } from './budget.ts';
import { render } from './render.ts';

process.on('message', (request) => process.send!(render(request as RenderRequest)));
process.on('disconnect', () => process.exit());
process.send!('ready');
