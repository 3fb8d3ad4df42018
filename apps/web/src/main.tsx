import { render } from 'preact';
import { App } from './app.tsx';
import './styles/base.css';
import './styles/controls.css';
import './styles/open-model.css';
import './styles/inside.css';
import './styles/playground.css';
import './styles/compare.css';
import './styles/train.css';

render(<App />, document.getElementById('app')!);

if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  // A page without it works just as well, only not offline: private windows and plain http have none.
  navigator.serviceWorker.register('./service-worker.js').catch((error) => console.warn('no offline copy:', error));
}
