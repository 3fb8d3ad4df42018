import { signal } from '@preact/signals';
import type { FunctionComponent } from 'preact';
import { useEffect } from 'preact/hooks';
import { DropTarget } from './components/drop-target.tsx';
import { Header } from './components/header.tsx';
import { openFirst } from './model.ts';
import { HeadToHead } from './pages/compare/head-to-head.tsx';
import { Inside } from './pages/inside/inside.tsx';
import { Playground } from './pages/playground/playground.tsx';
import { Train } from './pages/train/train.tsx';

/** The pages, by the fragment of their address. The first is where a visitor starts. */
export const pages: readonly { readonly hash: string; readonly title: string; readonly page: FunctionComponent }[] = [
  { hash: '', title: 'Playground', page: Playground },
  { hash: 'head-to-head', title: 'Head to head', page: HeadToHead },
  { hash: 'inside', title: 'Inside', page: Inside },
  { hash: 'train', title: 'Train', page: Train },
];

const route = signal(location.hash.replace(/^#\/?/, ''));
addEventListener('hashchange', () => {
  route.value = location.hash.replace(/^#\/?/, '');
});

export function App() {
  useEffect(() => void openFirst(), []);
  const current = pages.find(({ hash }) => hash === route.value) ?? pages[0]!;
  const Page = current.page;
  return (
    <DropTarget>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <Header current={current.hash} pages={pages} />
      <main id="main" tabIndex={-1}>
        <Page />
      </main>
      <footer class="foot">
        <p>Everything runs in this tab: no text leaves it. After the first visit it works without a network.</p>
      </footer>
    </DropTarget>
  );
}
