/** The world of a real process. */
import { basename, relative } from 'node:path';
import type { Io } from './io.js';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function commandName(path: string): string {
  if (basename(path) !== 'performer') return `node ${relative(process.cwd(), path)}`;
  return process.env.npm_command === 'exec' ? 'npx performer' : 'performer';
}

/** The streams and signals of this process. */
export function nodeIo(): Io {
  const broken = new Set<() => void>();
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that has gone (`performer … | head`) is no failure, but a reason to stop.
    stream.on('error', () => broken.forEach((stop) => stop()));
  }
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    command: commandName(process.argv[1] ?? 'performer'),
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
