export { backpropagate, type LossOfPass } from './backpropagate.ts';
export { type Batch, NO_TARGET } from './batch.ts';
export { type Parameter, type ParameterValues, readParameters, TrainableModel } from './model.ts';
export { Tape } from './tape.ts';
