/** The API reference (`npm run docs`): every entry of package.json, so that a new one is in it by itself. */
import { readFileSync } from 'node:fs';

const { exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const sources = Object.values(exports).map((path) => path.replace('./dist/', 'src/').replace(/\.js$/, '.ts'));

export default {
  name: 'Performer for TypeScript',
  entryPoints: sources.filter((path) => path.startsWith('src/')),
  out: 'dist-docs',
  readme: 'none',
  githubPages: false,
  disableSources: true, // a link to a line needs a public address of the repository
  excludePrivate: true,
  excludeInternal: true,
  skipErrorChecking: true, // `npm run types` does that.
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
  // Parts of types that nobody names: what a schema, a choice or a run is made of.
  intentionallyNotExported: [
    ...['Schemas', 'NameOf', 'GivenVariant', 'Flat', 'Symbol', 'CeilQuotient', 'Binary', 'Name', 'Layout', 'List'],
    ...['RunArgument', 'PartialTree', 'IsConstant', 'OwnOf', 'Every', 'BuiltIn'],
    ...['trunkFields', 'targetChoice', 'machineSchema', 'storedDtypes', 'rotationKinds', 'States', 'aboutSchema'],
  ],
  requiredToBeDocumented: ['Function', 'Class', 'Interface', 'TypeAlias', 'Variable'],
  validation: { invalidLink: true, notExported: true, notDocumented: true },
};
