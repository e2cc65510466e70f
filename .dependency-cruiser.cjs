const BUILT_IN = { dependencyTypes: ['core'] };

/** Only `folder` may import a library of the outside world. */
function ownedBy(library, folder) {
  return {
    name: `${library.replace(/\W+/g, '-')}-has-one-owner`,
    comment: `${library} is used in one place only, so that it can be replaced there.`,
    severity: 'error',
    from: { pathNot: folder },
    to: { path: `(^|/)node_modules/(${library})/` },
  };
}

/** An edge meets the world on one side and the core on the other, and never another edge. */
function edge(name, further = []) {
  const allowed = [`^src/${name}/`, '^src/core/', ...further];
  return {
    name: `${name}-meets-core-only`,
    comment: 'Edges import the core and never each other; they meet in src/compose.ts.',
    severity: 'error',
    from: { path: `^src/${name}/` },
    to: { path: '^(src|sdk|migrations|ormconfig)', pathNot: allowed },
  };
}

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Files that need each other are one file, or hide a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nothing imports and that imports nothing is left over.',
      severity: 'error',
      from: { orphan: true, pathNot: '[.]d[.]ts$' },
      to: {},
    },
    {
      name: 'nothing-unresolved',
      comment: 'What is imported exists.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment:
        'Every package that is imported stands in package.json; what runs needs no development package, unless it is bundled.',
      severity: 'error',
      from: { pathNot: '^sdk/src/client/(pool-exchange|undici-pool)\\.' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'core-imports-core-only',
      comment: 'src/core is what an event centre is: plain TypeScript and built-ins of Node.',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: '^src/core/', dependencyTypesNot: BUILT_IN.dependencyTypes },
    },
    edge('http', ['^sdk/']),
    edge('callback', ['^sdk/']),
    edge('broker'),
    edge('store', ['^migrations/']),
    edge('schema'),
    {
      name: 'sdk-stands-alone',
      comment: 'The SDK is a package of its own and imports nothing of the centre.',
      severity: 'error',
      from: { path: '^sdk/', pathNot: '^sdk/src/amqp/' },
      to: { path: '^(src|migrations|ormconfig)' },
    },
    {
      name: 'sdk-bundles-the-engine-only',
      comment: 'Who takes events from RabbitMQ runs the delivery engine itself, bundled; no other part of the centre.',
      severity: 'error',
      from: { path: '^sdk/src/amqp/' },
      to: { path: '^(src|migrations|ormconfig)', pathNot: '^src/(core|schema|broker)/' },
    },
    {
      name: 'sdk-needs-nothing-to-send-and-receive',
      comment: 'Outside of sdk/src/amqp the SDK is plain TypeScript and built-ins of Node, and one bundled pool.',
      severity: 'error',
      from: { path: '^sdk/src/', pathNot: '^sdk/src/(amqp/|client/(pool-exchange|undici-pool)\\.)' },
      to: { pathNot: '^sdk/src/', dependencyTypesNot: BUILT_IN.dependencyTypes },
    },
    {
      name: 'migrations-import-nothing-of-ours',
      comment: 'Migrations are append-only: nothing that changes later may change them. The column kinds never do.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { path: '^(src|sdk)/', pathNot: '^src/store/columns\\.ts$' },
    },
    {
      name: 'composition-is-the-top',
      comment: 'Only the entry points import what wires everything together.',
      severity: 'error',
      from: { pathNot: '^src/(compose|main)\\.ts$|^src/compose/' },
      to: { path: '^src/(compose|main)\\.ts$|^src/compose/' },
    },
    ownedBy('express|helmet|jsonc-parser|swagger-ui-dist', '^src/http/'),
    ownedBy('amqplib', '^src/broker/'),
    ownedBy('typeorm|mysql2', '^(src/store/|migrations/|ormconfig\\.ts$)'),
    ownedBy('better-sqlite3', '^src/(store|broker)/'),
    ownedBy('undici', '^(src/callback/|sdk/src/client/(pool-exchange|undici-pool)\\.)'),
    ownedBy('ipaddr[.]js', '^src/(callback|http/management)/'),
    ownedBy('ajv|ajv-formats|re2js', '^src/schema/'),
    ownedBy('prom-client', '^src/metrics(-gauges)?\\.ts$'),
    ownedBy('winston|winston-transport|safe-stable-stringify', '^src/log\\.ts$'),
    ownedBy('yaml', '^src/config\\.ts$'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
