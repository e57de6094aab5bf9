/** All commands, each with the module that does its work, which is loaded when it runs. */
import { benchCommand } from './bench.js';
import { type Command, type CommandGroup, command } from './command.js';
import { compareCommand } from './compare.js';
import { completionCommand } from './completion.js';
import { embedCommand, predictTextsCommand } from './embed.js';
import { evaluateCommand } from './evaluate.js';
import { featuresCommand } from './features.js';
import { generateCommand } from './generate.js';
import { evaluateMachineCommand, fitCommand, predictCommand } from './kernel.js';
import { trainCommand } from './train.js';

const kernelCommands: CommandGroup = {
  name: 'kernel',
  text: 'kernel machines on tables: random features and ridge regression',
  commands: [
    command(fitCommand, async (given, io) => (await import('./kernel-fit.js')).runFit(given, io)),
    command(predictCommand, async (given, io) => (await import('./kernel-predict.js')).runPredict(given, io)),
    command(evaluateMachineCommand, async (given, io) =>
      (await import('./kernel-predict.js')).runEvaluateMachine(given, io),
    ),
  ],
};

export const commands: readonly (Command | CommandGroup)[] = [
  command(trainCommand, async (given, io) => (await import('./train-run.js')).runTrain(given, io)),
  command(generateCommand, async (given, io) => (await import('./generate-run.js')).runGenerate(given, io)),
  command(evaluateCommand, async (given, io) => (await import('./evaluate-run.js')).runEvaluate(given, io)),
  command(predictTextsCommand, async (given, io) => (await import('./embed-run.js')).runPredictTexts(given, io)),
  command(embedCommand, async (given, io) => (await import('./embed-run.js')).runEmbed(given, io)),
  command(compareCommand, async (given, io) => (await import('./compare-run.js')).runCompare(given, io)),
  command(featuresCommand, async (given, io) => (await import('./features-run.js')).runFeatures(given, io)),
  command(benchCommand, async (given, io) => (await import('./bench-run.js')).runBench(given, io)),
  kernelCommands,
  completionCommand(() => commands),
];
