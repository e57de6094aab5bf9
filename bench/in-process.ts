/** A number that a program of this folder tells from a process of its own: cold, and with memory of its own. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Runs `<program>.js` on an argument and gives the number that it tells. */
export function numberFrom(program: string, argument: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL(`${program}.js`, import.meta.url)), [JSON.stringify(argument)]);
    let told: number | undefined;
    child.on('message', (message) => {
      told = message as number;
    });
    child.on('exit', (code) =>
      told === undefined ? reject(new Error(`${program} ended with ${code}`)) : resolve(told),
    );
  });
}

/** Tells the parent, or where there is none the terminal. */
export function tell(value: number): void {
  if (process.send === undefined) console.log(value);
  else process.send(value);
}
