import { effect, signal } from '@preact/signals';

export type Theme = 'light' | 'dark';

const KEY = 'theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : null;
  } catch {
    return null; // storage is off: the system's choice holds
  }
}

/** The visitor's choice, or null to follow the system. */
const chosen = signal<Theme | null>(stored());
const followed = signal<Theme>(system.matches ? 'dark' : 'light');
system.addEventListener('change', ({ matches }) => {
  followed.value = matches ? 'dark' : 'light';
});

export const theme = (): Theme => chosen.value ?? followed.value;

effect(() => {
  document.documentElement.dataset.theme = theme();
});

export function toggleTheme(): void {
  chosen.value = theme() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, chosen.value);
  } catch {
    // storage is off: the choice holds until the page is left
  }
}
