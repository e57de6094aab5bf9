/** The script of the worker that `inWorker` starts. */
import { webEngine } from '../engine/web.js';
import type { MessageEnd } from './remote-calls.js';
import { serve } from './serve.js';

serve(globalThis as unknown as MessageEnd, webEngine);
