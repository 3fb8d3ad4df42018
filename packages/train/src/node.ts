export { type LogLine, RunFolder, type RunPlan, type RunPosition } from './node/run-folder.ts';
export { type TrainingHooks, type TrainingResult, type TrainingRun, type TunedModel, train } from './node/train.ts';
