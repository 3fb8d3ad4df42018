export { type OpCase, type Outcome, poison, Scope, scoped } from './cases.ts';
export { codeOf } from './contract.ts';
export { CHUNK, EDGE_CASES, STATE_SIZES, WIDTHS } from './edge-cases.ts';
export { QUANTISED } from './quantised-cases.ts';
export { Random } from './random.ts';
export { RANDOM_CASES } from './random-cases.ts';
export { type ConformanceOptions, checkCase, conformanceSuite, type Expectation, type TestApi } from './suite.ts';
export { firstDifference, TINY, TOLERANCES } from './tolerance.ts';
export { encode, uploadWeight } from './weights.ts';
