export { AdamW, type AdamWOptions, decays, type Moments } from './adamw.ts';
export { backpropagate, type LossOfPass } from './backpropagate.ts';
export { type Batch, NO_TARGET } from './batch.ts';
export { type ChartPoint, lossSvg } from './chart.ts';
export { clipScale, globalNorm } from './clip.ts';
export {
  type BatchShape,
  type BatchSource,
  drawBatch,
  fileTokens,
  memoryTokens,
  splitText,
  type TokenSource,
  tokenRange,
} from './data.ts';
export { updateAverage } from './ema.ts';
export { initialParameters } from './initial.ts';
export {
  defaultTargets,
  type LoraOptions,
  type LoraPair,
  loraPairs,
  lowRankUpdates,
} from './lora.ts';
export { type Parameter, type ParameterValues, parameterSource, readParameters, TrainableModel } from './model.ts';
export { type ScheduleOptions, schedule, stepsFor, TIMED_STEPS } from './schedule.ts';
export {
  localTeam,
  type Share,
  type ShareResult,
  ShareRunner,
  sharesOf,
  type Team,
} from './share.ts';
export { INITIAL_STATE, StateTuning } from './state-tuning.ts';
export { Tape, type TapeOptions } from './tape.ts';
export type { Trainable } from './trainable.ts';
export { type StepReport, Trainer, type TrainingOptions } from './trainer.ts';
export { createTrainable, type Tuning } from './tuning.ts';
