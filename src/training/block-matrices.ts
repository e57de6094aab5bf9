/** The matrices of a model's blocks: those of queries, keys, values, outputs and feed-forward layers, by their paths. */
const paths = /(^|\.)blocks\.\d+\.(.+\.)?(query|key|value|output|feedForward\.(gate|expand|contract))\.weight$/;

/** Whether a path is that of such a matrix, [inputs, outputs]. */
export function isBlockMatrix(path: string): boolean {
  return paths.test(path);
}
