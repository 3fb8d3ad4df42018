export type { CompareOptions, CompareProgress, Contestant } from './compare/compare.ts';
export { compare } from './compare/compare.ts';
export { compareCsv } from './compare/csv.ts';
export { compareSvg } from './compare/figure.ts';
export { compareHtml } from './compare/html.ts';
export type { QualityOptions } from './compare/quality.ts';
export { qualityByPosition } from './compare/quality.ts';
export type { ComparedModel, ComparePoint, CompareReport, QualityBucket } from './compare/report.ts';
export { bytesText, countText, describeComparison, timeText } from './compare/words.ts';
