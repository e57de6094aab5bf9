/** The world of a real process. */
import { basename, relative } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';
import { type Io, writeAll } from './io.js';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function commandName(path: string): string {
  if (basename(path) !== 'performer') return `node ${relative(process.cwd(), path)}`;
  return process.env.npm_command === 'exec' ? 'npx performer' : 'performer';
}

function writeError(name: string, cause: Error): PerformerError {
  const got = `${messageOf(cause)}. Free some space, or write elsewhere.`;
  return new PerformerError('DATA', `${name}: expected to write to it, got ${got}`, { cause });
}

/** The streams and signals of this process. */
export function nodeIo(): Io {
  const broken = new Set<() => void>();
  let failure: PerformerError | undefined;
  const outputs = { 'standard output': process.stdout, 'standard error': process.stderr };
  for (const [name, stream] of Object.entries(outputs)) {
    stream.on('error', (cause: NodeJS.ErrnoException) => {
      // A reader that has gone (`performer … | head`) is no failure, but a reason to stop.
      if (cause.code !== 'EPIPE') failure ??= writeError(name, cause);
      broken.forEach((stop) => stop());
    });
  }
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    command: commandName(process.argv[1] ?? 'performer'),
    async flush() {
      await writeAll(process.stdout, '');
      if (failure !== undefined) throw failure;
    },
    onStop(listener) {
      let isStopping = false;
      const release = () => {
        broken.delete(stopOnce);
        for (const name of signals) process.off(name, onSignal);
      };
      const stopOnce = () => {
        if (isStopping) return;
        isStopping = true;
        listener();
      };
      const onSignal = (name: NodeJS.Signals) => {
        if (isStopping) {
          release();
          process.kill(process.pid, name);
          return;
        }
        // The engine blocks while a step runs: a second signal may be waiting already. After that the system handles it.
        setImmediate(release);
        stopOnce();
      };
      broken.add(stopOnce);
      for (const name of signals) process.on(name, onSignal);
      return release;
    },
  };
}
