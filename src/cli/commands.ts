/** All commands, each with the module that does its work, which is loaded when it runs. */
import { type CommandEntry, type CommandGroup, commandEntry } from './command.js';

const kernelCommands: CommandGroup = {
  name: 'kernel',
  text: 'kernel machines on tables: random features and ridge regression',
  commands: [
    commandEntry(
      'fit',
      'fit a kernel machine to the rows of a CSV file of any size',
      async () => (await import('./kernel.js')).fitCommand,
      async () => (await import('./kernel-fit.js')).runFit,
    ),
    commandEntry(
      'predict',
      'predict the rows of a CSV file',
      async () => (await import('./kernel.js')).predictCommand,
      async () => (await import('./kernel-predict.js')).runPredict,
    ),
    commandEntry(
      'evaluate',
      'measure how well a machine predicts a CSV file whose targets are known',
      async () => (await import('./kernel.js')).evaluateMachineCommand,
      async () => (await import('./kernel-predict.js')).runEvaluateMachine,
    ),
  ],
};

export const commands: readonly (CommandEntry | CommandGroup)[] = [
  commandEntry(
    'train',
    'train a model on files: a language model, unless another task is named',
    async () => (await import('./train.js')).trainCommand,
    async () => (await import('./train-run.js')).runTrain,
  ),
  commandEntry(
    'generate',
    'generate text, or images, with a model',
    async () => (await import('./generate.js')).generateCommand,
    async () => (await import('./generate-run.js')).runGenerate,
  ),
  commandEntry(
    'evaluate',
    'measure how well a model predicts files',
    async () => (await import('./evaluate.js')).evaluateCommand,
    async () => (await import('./evaluate-run.js')).runEvaluate,
  ),
  commandEntry(
    'predict',
    'tell the class of texts, words or images, or labels or values of texts, with a classifier',
    async () => (await import('./embed.js')).predictTextsCommand,
    async () => (await import('./embed-run.js')).runPredictTexts,
  ),
  commandEntry(
    'embed',
    'turn texts, or images, into vectors with any model',
    async () => (await import('./embed.js')).embedCommand,
    async () => (await import('./embed-run.js')).runEmbed,
  ),
  commandEntry(
    'search',
    'find the texts of an index that are nearest to a query',
    async () => (await import('./search.js')).searchCommand,
    async () => (await import('./search-run.js')).runSearch,
  ),
  commandEntry(
    'import',
    'read a pretrained model of Hugging Face, and write it as a folder of ours',
    async () => (await import('./import.js')).importCommand,
    async () => (await import('./import-run.js')).runImport,
  ),
  commandEntry(
    'convert',
    'replace the attention of a model, and teach it what the model knew',
    async () => (await import('./convert.js')).convertCommand,
    async () => (await import('./convert-run.js')).runConvert,
  ),
  commandEntry(
    'export',
    'write a model as ONNX files, which run without this package',
    async () => (await import('./export.js')).exportCommand,
    async () => (await import('./export-run.js')).runExport,
  ),
  commandEntry(
    'compare',
    'train equal models that differ in the kernel of attention alone, and rank the kernels',
    async () => (await import('./compare.js')).compareCommand,
    async () => (await import('./compare-run.js')).runCompare,
  ),
  commandEntry(
    'features',
    'tell the error of feature maps, and recommend one',
    async () => (await import('./features.js')).featuresCommand,
    async () => (await import('./features-run.js')).runFeatures,
  ),
  commandEntry(
    'bench',
    'measure how fast a model is on this machine',
    async () => (await import('./bench.js')).benchCommand,
    async () => (await import('./bench-run.js')).runBench,
  ),
  kernelCommands,
  commandEntry(
    'completion',
    'print what a shell needs to complete commands and flags',
    async () => (await import('./completion.js')).completionCommand,
    async () => (await import('./completion.js')).runCompletion(commands),
  ),
];
