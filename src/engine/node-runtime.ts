/** Loads ONNX Runtime's native build, which the user of the package installs: npm installs no optional peer by itself. */
import { createRequire } from 'node:module';
import { messageOf, PerformerError } from '../base/errors.js';
import { missingRuntime } from './missing-runtime.js';
import { disableTelemetry } from './node-telemetry.js';
import { silence } from './ort.js';

type Runtime = Pick<typeof import('onnxruntime-node'), 'InferenceSession' | 'Tensor' | 'env'>;

const require = createRequire(import.meta.url);

/**
 * The runtime, which neither reports its use nor writes a log. Throws DEVICE where the package is not installed or has no
 * build for this machine, and in a worker of a process whose telemetry is not switched off.
 */
export function loadNodeRuntime(): Runtime {
  disableTelemetry();
  try {
    const runtime = require('onnxruntime-node') as Runtime;
    silence(runtime.env);
    return runtime;
  } catch (cause) {
    if (isMissing(cause)) throw missingRuntime('nodeEngine', 'onnxruntime-node', cause);
    const machine = `${process.platform} ${process.arch}`;
    throw new PerformerError(
      'DEVICE',
      `nodeEngine: expected onnxruntime-node to load on ${machine}, got ${messageOf(cause)}.`,
      { cause },
    );
  }
}

/** Whether it is the package itself that was not found, and not a file of it. */
function isMissing(cause: unknown): boolean {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === 'MODULE_NOT_FOUND' && message.includes("'onnxruntime-node'");
}
