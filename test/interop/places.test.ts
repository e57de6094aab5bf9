import { execFileSync, spawnSync } from 'node:child_process';
import {
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writeFileAtomic } from '../../src/interop/node.js';
import { expectOutput, removeDrafts } from '../../src/interop/node-files.js';
import { discardFolder, locateFolder, namesIn, removeLeftovers, writeFolder } from '../../src/interop/node-folders.js';
import { transpileRooms } from './transpile.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-places-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const at = (...names: string[]) => join(folder, ...names);
const isRoot = process.getuid?.() === 0;

/** What `write` or `make` says of a path in a process without root's rights. */
async function refusedWithoutRights(doing: 'write' | 'make', path: string): Promise<string> {
  if (!(await readdir(folder)).includes('say.mjs')) {
    await transpileRooms(folder);
    await writeFile(
      at('say.mjs'),
      `import { writeFileAtomic } from './interop/node.js';
       import { makeFolder } from './interop/node-folders.js';
       const doing = { write: (path) => writeFileAtomic(path, ['x']), make: makeFolder };
       await doing[process.argv[2]](process.argv[3]).catch((cause) => console.log(cause.message));`,
    );
  }
  const words = [at('say.mjs'), doing, path];
  return spawnSync(process.execPath, words, { encoding: 'utf8', ...(isRoot ? { uid: 65534 } : {}) }).stdout.trim();
}

describe.skipIf(process.platform === 'win32')('a file is written where its path leads', () => {
  test('through links to the file that is meant, which stay links', async () => {
    await mkdir(at('data'));
    await writeFile(at('data', 'real.csv'), 'old');
    await symlink('data', at('folder'));
    await symlink('folder/real.csv', at('first'));
    await symlink(at('first'), at('second'));
    await writeFileAtomic(at('second'), ['new']);
    expect(await readFile(at('data', 'real.csv'), 'utf8')).toBe('new');
    expect(await readlink(at('second'))).toBe(at('first'));
    expect(await readlink(at('first'))).toBe('folder/real.csv');
    expect(await readdir(at('data'))).toEqual(['real.csv']);
  });

  test('through a link to a file that is not there yet', async () => {
    await symlink('later.csv', at('link'));
    await writeFileAtomic(at('link'), ['new']);
    expect(await readFile(at('later.csv'), 'utf8')).toBe('new');
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true);
  });

  test('but not through links in a circle', async () => {
    await symlink('b', at('a'));
    await symlink('a', at('b'));
    await expect(writeFileAtomic(at('a'), ['x'])).rejects.toThrow('got ELOOP');
  });

  test('with the permissions of the file that it replaces, and its owner', async () => {
    await writeFile(at('secret'), 'old', { mode: 0o600 });
    const owner = isRoot ? 65534 : (process.getuid?.() as number);
    execFileSync('chown', [String(owner), at('secret')]);
    await writeFileAtomic(at('secret'), ['new']);
    const { mode, uid } = await stat(at('secret'));
    expect([mode & 0o777, uid]).toEqual([0o600, owner]);
  });

  test('while what a killed process or somebody else left under the name of its draft is not written through', async () => {
    await writeFile(at('other'), 'other');
    await symlink('other', at(`file.${process.pid}.tmp`));
    await writeFileAtomic(at('file'), ['new']);
    expect(await readFile(at('other'), 'utf8')).toBe('other');
    expect((await readdir(folder)).sort()).toEqual(['file', 'other']);
  });

  test('as bytes into a pipe, which stays a pipe', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    const [text] = await Promise.all([readFile(at('pipe'), 'utf8'), writeFileAtomic(at('pipe'), ['one ', 'two'])]);
    expect(text).toBe('one two');
    expect((await stat(at('pipe'))).isFIFO()).toBe(true);
    expect(await readdir(folder)).toEqual(['pipe']);
  });

  test.skipIf(process.platform !== 'linux')('as bytes into a device and into an open descriptor', async () => {
    await symlink('/dev/null', at('null'));
    await writeFileAtomic(at('null'), ['gone']);
    expect((await stat(at('null'))).isCharacterDevice()).toBe(true);
    const full = await writeFileAtomic('/dev/full', ['no room']).catch((error) => error.message);
    expect(full).toBe('write /dev/full: expected room on the disk, got ENOSPC. Free some space or write elsewhere.');
    const file = await open(at('open'), 'w');
    await file.write('begun, ');
    await writeFileAtomic(`/proc/self/fd/${file.fd}`, ['ended']);
    await file.close();
    expect(await readFile(at('open'), 'utf8')).toBe('begun, ended');
  });

  test('but not to a socket or a folder', async () => {
    const server = createServer().listen(at('socket'));
    await expect(writeFileAtomic(at('socket'), ['x'])).rejects.toThrow('expected a file to write, got EINVAL');
    expect((await lstat(at('socket'))).isSocket()).toBe(true);
    await new Promise((done) => server.close(done));
    await expect(expectOutput(folder)).rejects.toThrow('got EISDIR');
  });

  test('but not over a file or into a folder that must not be written, with the true cause', async () => {
    await mkdir(at('open'), { mode: 0o777 });
    execFileSync('chmod', ['777', folder, at('open')]);
    await mkdir(at('closed'), { mode: 0o755 });
    await writeFile(at('open', 'file'), 'old', { mode: 0o444 });
    if (!isRoot) execFileSync('chmod', ['555', at('closed')]);
    for (const path of [at('open', 'file'), at('closed', 'file')]) {
      expect(await refusedWithoutRights('write', path)).toBe(
        `write ${path}: expected permission to write, got EACCES. Allow it or write elsewhere. The previous file is untouched.`,
      );
    }
    expect(await readFile(at('open', 'file'), 'utf8')).toBe('old');
    expect(await refusedWithoutRights('make', at('closed', 'a', 'b'))).toContain('EACCES');
  });

  test('and drafts are cleared beside it, files of that form alone', async () => {
    await mkdir(at('data'));
    await symlink('data/real', at('link'));
    for (const name of ['real.12.tmp', 'real.x.tmp', 'other.12.tmp', 'real.12.tmp.csv'])
      await writeFile(at('data', name), '');
    await mkdir(at('data', 'real.13.tmp'));
    await removeDrafts(at('link'));
    expect((await readdir(at('data'))).sort()).toEqual([
      'other.12.tmp',
      'real.12.tmp.csv',
      'real.13.tmp',
      'real.x.tmp',
    ]);
  });
});

describe.skipIf(process.platform === 'win32')('a folder', () => {
  const fill = (text: string) => (draft: string) => writeFile(join(draft, 'file'), text);

  test('is replaced where a link leads, and the link stays', async () => {
    await mkdir(at('data', 'old'), { recursive: true });
    await symlink('data/old', at('link'));
    for (const text of ['first', 'second']) {
      await writeFolder(at('link'), fill(text));
      expect(await readFile(at('data', 'old', 'file'), 'utf8')).toBe(text);
      expect((await lstat(at('link'))).isSymbolicLink()).toBe(true);
      expect([await readdir(folder), await readdir(at('data'))]).toEqual([['data', 'link'], ['old']]);
    }
  });

  test('that waits beside its place is found through the link, and by its name', async () => {
    await mkdir(at('data', '.old.replaced'), { recursive: true });
    await symlink('data/old', at('link'));
    expect(await locateFolder(at('link'))).toBe(at('data', '.old.replaced'));
    expect(await locateFolder(at('none', 'at', 'all'))).toBe(at('none', 'at', 'all'));
    expect(await namesIn(at('data'))).toEqual(['old']);
    expect(await namesIn(at('none'))).toEqual([]);
  });

  test('is whole as before when the new one cannot be filled', async () => {
    await writeFolder(at('a', 'b', 'model'), fill('first'));
    const broken = async (draft: string) => {
      await writeFile(join(draft, 'file'), 'half');
      throw new Error('no more');
    };
    await expect(writeFolder(at('a', 'b', 'model'), broken)).rejects.toThrow('no more');
    expect(await readFile(at('a', 'b', 'model', 'file'), 'utf8')).toBe('first');
    expect(await readdir(at('a', 'b'))).toEqual(['model']);
  });

  test('goes with its name, and one that is gone already is no failure', async () => {
    await mkdir(at('model', 'inside'), { recursive: true });
    for (let round = 0; round < 2; round++) {
      await discardFolder(at('model'));
      expect(await readdir(folder)).toEqual([]);
    }
  });

  test('leaves what killed processes left to be cleared, and nothing that is not its own goes', async () => {
    const own = ['.step-1.12.tmp', '.step-1.12.removed'];
    const others = ['.git', '.other.12.tmp', '.step-1.tmp', '.step-1.12.tmp.x', 'step-1', '.step-1.replaced'];
    for (const name of [...own, ...others]) await mkdir(at('real', name, 'inside'), { recursive: true });
    await writeFile(at('real', '.step-1.13.tmp'), 'a file');
    await symlink('.git', at('real', '.step-1.14.tmp'));
    await symlink('real', at('link'));
    await removeLeftovers(at('link'), (name) => /^step-\d+$/.test(name));
    expect((await readdir(at('real'))).sort()).toEqual([...others, '.step-1.13.tmp', '.step-1.14.tmp'].sort());
    expect(await readdir(at('real', '.git'))).toEqual(['inside']);
    await removeLeftovers(at('none'), () => true);
  });

  const canMount = isRoot && spawnSync('unshare', ['-m', 'true']).status === 0;
  test.skipIf(!canMount)('on a system that is read-only is refused with that cause', async () => {
    await transpileRooms(folder);
    await mkdir(at('mounted'));
    await writeFile(
      at('make.mjs'),
      `import { makeFolder } from './interop/node-folders.js';
       await makeFolder(process.argv[2]).catch((cause) => console.log(cause.code));`,
    );
    const command = `mount -t tmpfs -o ro tmpfs ${at('mounted')} && ${process.execPath} ${at('make.mjs')} ${at('mounted', 'a', 'b')}`;
    expect(spawnSync('unshare', ['-m', 'sh', '-c', command], { encoding: 'utf8' }).stdout).toBe('EROFS\n');
  });
});
