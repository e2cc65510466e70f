import type { DebianPackage } from '../../scripts/debian-packages.mjs';
import type { RunReport } from './run-report.js';
import type { ServicesWanted } from './services.js';
import type { Setting } from './setting.js';

/** Which table of `docs/reliability.md` a scenario stands in. */
export type ScenarioGroup = 'suite' | 'processes' | 'broker' | 'database' | 'listeners';

/** What a run spoils on purpose, behind the centre's back, so that it must fail. */
export type Plant = 'loss' | 'repeat';

/** What a scenario is given. */
export interface Stage {
  setting: Setting;
  report: RunReport;
  /** True for `--short`: counts and times that keep the scenario under about 20 s on a slow machine. */
  short: boolean;
  /** Set only where the scenario says that it can be planted. */
  plant: Plant | null;
}

/** A fault and what must hold all the same. Files in `scenarios/` export a list of them as `scenarios`. */
export interface Scenario {
  /** By which it is run: `npm run test:faults -- name`. Kebab case, unique. */
  name: string;
  group: ScenarioGroup;
  /** One sentence: what must hold. Stands in `docs/reliability.md`. */
  promise: string;
  /** Part of `--short`, which runs in `.ci/run`; few scenarios, or it takes too long. */
  short?: boolean;
  /** What `--plant-…` may ask for; nothing when absent. */
  plantable?: Plant[];
  /** How plugin hosts take their events, for `--transport`. */
  transport?: 'http' | 'amqp';
  /** It leaves RabbitMQ and MariaDB alone, so that it may run on those of the scenario before, in a virtual host and a database of its own. */
  sharesServices?: boolean;
  /** RabbitMQ and MariaDB, one of each, when absent. */
  services?: ServicesWanted;
  /** Debian's packages beside those of RabbitMQ and MariaDB. */
  packages?: DebianPackage[];
  /** Longest time the scenario may take, in ms; ten minutes when absent. */
  timeLimitMs?: number;
  run(stage: Stage): Promise<void>;
}
