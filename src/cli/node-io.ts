/** The world of a real process. */
import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, relative, sep } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';
import { type Io, writeAll } from './io.js';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How the program at `path` is called: installed, from the folder of the package itself, or as any other file. */
export function commandName(path: string, folder: string, npmCommand: string | undefined): string {
  const isInstalled = basename(path) === 'performer' || path.split(sep).includes('node_modules');
  if (isInstalled) return npmCommand === 'exec' ? 'npx performer' : 'performer';
  const isPackage = dirname(dirname(dirname(path))) === folder;
  return isPackage ? 'npx performer' : `node ${relative(folder, path)}`;
}

/** Whether standard input is a pipe or a file: not a terminal, a device such as /dev/null, or a socket that may stay open. */
function isPiped(): boolean {
  try {
    const found = fstatSync(0);
    return found.isFIFO() || found.isFile();
  } catch {
    return false; // it is closed
  }
}

function writeError(name: string, cause: Error): PerformerError {
  const got = `${messageOf(cause)}. Free some space, or write elsewhere.`;
  return new PerformerError('DATA', `${name}: expected to write to it, got ${got}`, { cause });
}

/** The streams and signals of this process. */
export function nodeIo(): Io {
  const broken = new Set<() => void>();
  let stoppedBy: number | undefined;
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
    isPiped: isPiped(),
    stdout: process.stdout,
    stderr: process.stderr,
    command: commandName(process.argv[1] ?? 'performer', process.cwd(), process.env.npm_command),
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
        stoppedBy = constants.signals[name];
        // The engine blocks while a step runs: a second signal may be waiting already. After that the system handles it.
        setImmediate(release);
        stopOnce();
      };
      broken.add(stopOnce);
      for (const name of signals) process.on(name, onSignal);
      return release;
    },
    stoppedBy: () => stoppedBy,
  };
}
