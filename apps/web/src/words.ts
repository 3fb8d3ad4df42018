const UNITS = ['bytes', 'kB', 'MB', 'GB'];

/** `233 kB`, `5.9 MB`: decimal units, three digits at most. */
export function bytes(value: number): string {
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${unit === 0 || rest >= 99.95 ? rest.toFixed(0) : rest.toFixed(1)} ${UNITS[unit]}`;
}

/** `2.9 million`, `1,024`. */
export function count(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} billion`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} million`;
  return value.toLocaleString('en-US');
}
