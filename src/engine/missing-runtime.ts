/** The error for an engine whose ONNX Runtime is not installed: it is an optional peer, so that each user installs one. */
import { PerformerError } from '../base/errors.js';

/** The version of ONNX Runtime that this release is tested with. */
const version = '1.30.0';

export function missingRuntime(
  where: string,
  name: 'onnxruntime-node' | 'onnxruntime-web',
  cause: unknown,
): PerformerError {
  const advice =
    name === 'onnxruntime-node'
      ? ' Offline, set ONNXRUNTIME_NODE_INSTALL=skip before, as its installation downloads CUDA files otherwise.'
      : '';
  return new PerformerError(
    'DEVICE',
    `${where}: expected the package ${name}, got none. Install it: npm install ${name}@${version}.${advice}`,
    { cause },
  );
}
