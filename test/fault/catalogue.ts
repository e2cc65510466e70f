import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Plant, Scenario } from './scenario.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'scenarios');

/** Every scenario of the files in `scenarios/`, in the order of the file names. @throws for a file without scenarios and for a name that is used twice. */
export async function loadScenarios(): Promise<Scenario[]> {
  const scenarios: Scenario[] = [];
  for (const file of readdirSync(FOLDER).sort()) {
    const module = (await import(pathToFileURL(join(FOLDER, file)).href)) as { scenarios?: Scenario[] };
    if (!Array.isArray(module.scenarios)) throw new Error(`scenarios/${file}: expected an exported list "scenarios"`);
    scenarios.push(...module.scenarios);
  }
  const names = scenarios.map((scenario) => scenario.name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`there are two scenarios named ${twice}`);
  return scenarios;
}

/** What the command line asks for. */
export interface Choice {
  /** Names, or beginnings of names; none means all. */
  names: string[];
  short: boolean;
  plant: Plant | null;
  transport: string | null;
}

/** The scenarios that are asked for. @throws for a name that fits none, and for a plant where nothing can be planted. */
export function chooseScenarios(all: Scenario[], choice: Choice): Scenario[] {
  const named = choice.names.length === 0 ? all : choice.names.flatMap((name) => scenariosNamed(all, name));
  const chosen = [...new Set(named)].filter(
    (scenario) =>
      (!choice.short || scenario.short === true || choice.names.length > 0) &&
      (choice.plant === null || scenario.plantable?.includes(choice.plant) === true) &&
      (choice.transport === null || scenario.transport === undefined || scenario.transport === choice.transport),
  );
  if (chosen.length > 0) return chosen;
  throw new Error(choice.plant === null ? 'no scenario fits' : `nothing can be planted in ${choice.names.join(', ')}`);
}

function scenariosNamed(all: Scenario[], name: string): Scenario[] {
  const exact = all.filter((scenario) => scenario.name === name);
  if (exact.length > 0) return exact;
  const begun = all.filter((scenario) => scenario.name.startsWith(name));
  if (begun.length > 0) return begun;
  throw new Error(`no scenario ${name}; there are ${all.map((scenario) => scenario.name).join(', ')}`);
}
