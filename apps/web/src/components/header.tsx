import { theme, toggleTheme } from '../theme.ts';

interface HeaderProps {
  readonly current: string;
  readonly pages: readonly { readonly hash: string; readonly title: string }[];
}

export function Header({ current, pages }: HeaderProps) {
  const dark = theme() === 'dark';
  return (
    <header class="head">
      <a class="brand" href="./">
        <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
          <rect width="32" height="32" rx="8" class="brand-ground" />
          <path d="M6 21c3 0 3-9 6.5-9s3.5 9 7 9 3-9 6.5-9" class="brand-line" />
        </svg>
        <span>
          Mamba <span class="brand-rest">for TypeScript</span>
        </span>
      </a>
      <nav aria-label="Pages">
        {pages.map(({ hash, title }) => (
          <a key={hash} href={`#${hash}`} aria-current={hash === current ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <button type="button" class="quiet" aria-pressed={dark} onClick={toggleTheme}>
        {dark ? 'Dark' : 'Light'}
        <span class="unseen"> colours; switch to {dark ? 'light' : 'dark'}</span>
      </button>
    </header>
  );
}
