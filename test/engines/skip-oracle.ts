/** For every engine but Node's: what the suite says of the oracle alone was tested there. */
import { beforeEach } from 'vitest';

beforeEach(({ task, skip }) => {
  if (/on '?the oracle/.test(task.name)) skip('the oracle is tested in Node');
});
