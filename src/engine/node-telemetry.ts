/**
 * Switches off the telemetry of ONNX Runtime's native build.
 *
 * Outside of Windows the runtime reports its use to its maker unless `ORT_DISABLE_TELEMETRY=1` stands in the environment of
 * the process before its first session: it writes an identifier and a database into the user's cache and a log into the
 * temporary folder, and looks up a host. So the variable is set before the runtime is loaded, whatever it was.
 */
import { isMainThread } from 'node:worker_threads';
import { PerformerError } from '../base/errors.js';

const variable = 'ORT_DISABLE_TELEMETRY';

/** The environment of the process itself: `process.env` in a worker is a copy of it, and setting it there changes nothing. */
function processEnvironment(): Readonly<Record<string, string>> {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // a report otherwise looks up the names of connected hosts
  const { environmentVariables } = report.getReport() as { environmentVariables: Record<string, string> };
  report.excludeNetwork = before;
  return environmentVariables;
}

/** Throws DEVICE in a worker of a process in which the variable is not set. */
export function disableTelemetry(): void {
  process.env[variable] = '1';
  if (isMainThread || processEnvironment()[variable] === '1') return;
  throw new PerformerError(
    'DEVICE',
    `nodeEngine: expected ${variable}=1 in the environment of the process, got a worker, which cannot set it there. ` +
      'Call nodeEngine() once in the main thread before the worker does, or start the process with the variable.',
  );
}
