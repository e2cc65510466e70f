/** The same load on one process with both roles, on an api and a worker, and on two of each. */
import { atPlace, withCentre, type Place } from '../centres.js';
import { watchProcess } from '../children.js';
import { burst, median, ratesOf, withChildren, type Children } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { registerBench } from '../registration.js';
import { ratio, type Scenario } from '../scenario.js';
import type { CentreProcess } from '../../test/support/centre-process.js';

interface Arrangement {
  name: string;
  roles: ('all' | 'api' | 'worker')[];
}

const ARRANGEMENTS: Arrangement[] = [
  { name: 'one process, role all', roles: ['all'] },
  { name: 'one api, one worker', roles: ['api', 'worker'] },
  { name: 'two apis, two workers', roles: ['api', 'api', 'worker', 'worker'] },
];

interface Rates {
  accepted: number;
  delivered: number;
  /** Of all the processes together. */
  cpuMsPerEvent: number;
}

export const processes: Scenario = {
  name: 'processes',
  title: 'two apis and two workers beside one of each',
  minutes: 5,
  run: (options) =>
    withChildren(async (children) => {
      const taken = ARRANGEMENTS.map((): Rates[] => []);
      for (let round = 1; round <= options.rounds; round += 1) {
        for (const [index, arrangement] of ARRANGEMENTS.entries()) {
          const rates = await atPlace(['BENCH-0'], (place) => ratesAt({ place, children, options }, arrangement));
          console.log(`${arrangement.name}, round ${round}: ${JSON.stringify(rates)}`);
          taken[index]?.push(rates);
        }
      }
      const medians = taken.map((rounds) => medianOf(rounds));
      const base = medians[1];
      return {
        goals: [],
        tables: [
          {
            title: `One listener, ${options.events} events of 1 KB, median of ${options.rounds} rounds`,
            columns: ['', 'accepted/s', 'of one each', 'delivered/s', 'delivered of one each', 'cpu ms/event, all'],
            rows: medians.map((rates, index) => [
              ARRANGEMENTS[index]?.name ?? '',
              rates.accepted,
              ratio(rates.accepted, base?.accepted ?? null),
              rates.delivered,
              ratio(rates.delivered, base?.delivered ?? null),
              rates.cpuMsPerEvent,
            ]),
          },
        ],
        notes: [],
        plots: [],
        raw: taken,
      };
    }),
};

/** Another process may know what was registered so much later; until then it owes events to nobody. */
const SEEN_BY_ALL_MS = 1_000;

async function ratesAt(
  run: { place: Place; children: Children; options: BenchOptions },
  arrangement: Arrangement,
): Promise<Rates> {
  const { place, children, options } = run;
  return withProcesses(place, { roles: arrangement.roles, options }, async (centres) => {
    const apis = centres.filter((_, index) => arrangement.roles[index] !== 'worker');
    const [first] = apis;
    if (first === undefined) throw new Error('an arrangement needs a process that accepts');
    const sender = await registerBench(first, [[`${children.receiverUrl}/n0/l0`]]);
    const target = { urls: apis.map(({ url }) => url), ...sender, callbacksPerEvent: 1 };
    await new Promise((resolve) => setTimeout(resolve, SEEN_BY_ALL_MS));
    await burst(children, target, { events: Math.ceil(options.events / 10) });
    const watched = centres.map(({ pid }) => watchProcess(pid));
    const { acceptedPerSecond, deliveredPerSecond } = ratesOf(
      await burst(children, target, { events: options.events }),
      target,
    );
    const cpuMs = watched.map((one) => one.stop().cpuMs ?? NaN).reduce((sum, ms) => sum + ms, 0);
    return {
      accepted: acceptedPerSecond,
      delivered: deliveredPerSecond ?? NaN,
      cpuMsPerEvent: Math.round((cpuMs / options.events) * 1000) / 1000,
    };
  });
}

/** Starts a process for each role, one inside the other, so that each is stopped whatever happens. */
function withProcesses<T>(
  place: Place,
  what: { roles: string[]; options: BenchOptions },
  work: (centres: CentreProcess[]) => Promise<T>,
): Promise<T> {
  const { roles, options } = what;
  const start = (centres: CentreProcess[]): Promise<T> => {
    const role = roles[centres.length];
    if (role === undefined) return work(centres);
    const settings = { ...options.settings, EVENT_CENTER_ROLE: role };
    return withCentre(place, { settings }, (centre) => start([...centres, centre]));
  };
  return start([]);
}

function medianOf(rounds: Rates[]): Rates {
  return {
    accepted: median(rounds.map((rates) => rates.accepted)),
    delivered: median(rounds.map((rates) => rates.delivered)),
    cpuMsPerEvent: median(rounds.map((rates) => rates.cpuMsPerEvent)),
  };
}
