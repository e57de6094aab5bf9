import { sep } from 'node:path';
import { expect, test } from 'vitest';
import { commandName } from '../../src/cli/node-io.js';

const path = (...parts: string[]) => ['', ...parts].join(sep);

test.each<[string, string, string, string | undefined, string]>([
  [
    'the package folder',
    path('home', 'package', 'dist', 'cli', 'main.js'),
    path('home', 'package'),
    undefined,
    'npx performer',
  ],
  [
    'another folder',
    path('home', 'package', 'dist', 'cli', 'main.js'),
    path('home'),
    undefined,
    `node package${path('dist', 'cli', 'main.js')}`,
  ],
  ['npx', path('home', 'node_modules', '.bin', 'performer'), path('home'), 'exec', 'npx performer'],
  ['a path', path('usr', 'bin', 'performer'), path('home'), undefined, 'performer'],
  [
    'the shim of Windows',
    path('lib', 'node_modules', 'performer-ts', 'dist', 'cli', 'main.js'),
    path('home'),
    undefined,
    'performer',
  ],
])('a program called from %s is named as it is called', (_, program, folder, npmCommand, name) => {
  expect(commandName(program, folder, npmCommand)).toBe(name);
});
