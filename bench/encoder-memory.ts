/** A process that reads one text by an encoder and tells its parent the peak of resident memory over what was there before. */
import { type EncoderAttention, encoderReader } from './encoder-reader.js';
import { tell } from './in-process.js';
import { peakBytes } from './measure.js';

const { attention, length }: { attention: EncoderAttention; length: number } = JSON.parse(process.argv[2]!);
const read = await encoderReader(attention, length);
const before = process.memoryUsage.rss();
await read();
tell(peakBytes() - before);
