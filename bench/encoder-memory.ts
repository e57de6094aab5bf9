/** A process that reads one text by an encoder and tells its parent the peak of resident memory while it does. */
import { type EncoderAttention, encoderReader } from './encoder-reader.js';
import { tell } from './in-process.js';
import { peakDuring } from './measure.js';

const { attention, length }: { attention: EncoderAttention; length: number } = JSON.parse(process.argv[2]!);
const read = await encoderReader(attention, length);
tell(await peakDuring(read));
