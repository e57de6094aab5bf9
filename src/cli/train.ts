/** `performer train`: what it is called with. */

import { taskFamily, taskNames } from '../tasks/index.js';
import type { CommandWords } from './command.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { labelledFlags } from './labelled-flags.js';
import { otherModelFlags, presetTable, runSchema, shownFlags, trainSchema, weightSchema } from './train-flags.js';

const notes = `Tasks:
${taskNames()
  .map((name) => `  ${name.padEnd(26)} ${taskFamily(name).text}`)
  .join('\n')}

Labelled texts are tables (.csv, .tsv), JSON lines (.jsonl), or a folder with a folder for each class. Where a text has
any number of labels, JSON lines have a list of them, and tables have them in one column with ; between them.
Texts whose words have labels are JSON lines with tokens and labels, or with text and spans, or columns as of CoNLL: a word
and its label in each line, with a tab between them (--delimiter), and an empty line between two texts.
Images are PNG or JPEG files, a folder with a folder for each class, or IDX files, each with that of its labels behind it; all
have one size.

--tokenizer takes any tokenizer.json (BPE, WordPiece or Unigram), and the tokenizer_config.json beside it; the run keeps both.
Losses are in nats a token and bits a byte, of which the latter compare whatever the tokenizers.

Flags override the config file, which overrides the preset:
${presetTable()}

--from goes on from a model, ours or one of Hugging Face: the run has its options, its tokenizer and its weights, and what the task
needs beside them begins anew. Where neither a preset nor a rate is named it learns by AdamW at a rate of 5e-5, and adapters
(--lora-rank) at 5e-4: at higher ones, which suit a training from nothing, what the model knows would be lost.

--resume takes the options from the checkpoint and, unless files are named, the files that the run began with; they
must hold what they held then (all of it is compared, beyond 256 MB samples of it and the times of writing). The run
goes on exactly as if it had never stopped. Options that would change it are refused; --steps makes it longer (the
learning rate then follows the schedule for that many steps: where it jumps, a line says how far), and
--evaluation-interval, --checkpoint-interval and --keep may change.

Ctrl-C ends after the step under way, saves, and says how to go on; a second one ends at once.

The folder holds the best model so far (config.json, model.safetensors, tokenizer.json, generation_config.json, and
context.json, which says how far it was shown to read well), checkpoints/, and metrics.jsonl with one line for each step.

Examples:
  performer train book.txt --out runs/book
  performer train *.txt --out runs/all --preset small --learning-rate 5e-4 --token-shift 0
  performer train --out runs/book --resume --steps 2000
  performer train mails.csv --out runs/spam --task classification --from downloads/bert
  performer train mails.csv --out runs/spam --task classification --text body --label folder
  performer train news.jsonl --out runs/topics --task multi-label-classification --label topics
  performer train names.conll --out runs/names --task token-classification
  performer train images/ --out runs/kinds --task image-classification --patch 4
  performer train train-images-idx3-ubyte.gz --out runs/pixels --task image-modelling`;

export const trainCommand: CommandWords<typeof trainSchema> = {
  arguments: [
    {
      name: '[files...]',
      text: 'what is learned from, in this order: text, labelled texts, or images; needed unless --resume is given',
    },
  ],
  options: trainSchema,
  flags: [
    ...flagsOf('Run:', runSchema),
    ...shownFlags,
    ...otherModelFlags,
    ...labelledFlags,
    ...flagsOf('Labelled texts:', weightSchema),
    ...engineFlags,
  ],
  notes,
  isReport: () => true,
};
