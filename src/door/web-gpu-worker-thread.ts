/** The script of the worker that `inGpuWorker` starts. */
import { webGpuEngine } from '../engine/web-gpu.js';
import type { MessageEnd } from './remote-calls.js';
import { serve } from './serve.js';

serve(globalThis as unknown as MessageEnd, webGpuEngine);
