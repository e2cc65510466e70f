/** What V8 writes with `--cpu-prof`, and how it is read. */

export interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
}

/** A sample names the node that ran, and its delta is the time since the sample before, in µs. */
export interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

/** A function as it was called from where it stands in the tree; times in µs. */
export interface Call {
  frame: CallFrame;
  self: number;
  /** Its own and that of all that it called. */
  total: number;
  callees: Call[];
}

/** Where nothing ran, or nothing of JavaScript that a sample could name. */
const WAITING = new Set(['(idle)', '(program)']);

/** The package, the folder of src/ or the part of node that a frame belongs to. */
export function moduleOf({ functionName, url }: CallFrame): string {
  const ofPackage = [...url.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].at(-1)?.[1];
  if (ofPackage !== undefined) return ofPackage;
  const ofSource = /dist\/(src\/[^/]+(?:\/[^/]+)?)\//.exec(url)?.[1];
  if (ofSource !== undefined) return ofSource;
  if (url.startsWith('node:')) return url.split('/')[0] ?? url;
  return url === '' ? functionName : url;
}

/** The call tree without waiting; what one caller calls several times stands there once. */
export function callTreeOf(profile: CpuProfile): Call {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const self = new Map<number, number>();
  profile.samples.forEach((id, index) => {
    self.set(id, (self.get(id) ?? 0) + (profile.timeDeltas[index] ?? 0));
  });
  const merged = (same: CpuProfile['nodes'], frame: CallFrame): Call => {
    const byFunction = new Map<string, CpuProfile['nodes']>();
    for (const id of same.flatMap(({ children = [] }) => children)) {
      const node = nodes.get(id);
      if (node === undefined || WAITING.has(node.callFrame.functionName)) continue;
      const { functionName, url, lineNumber } = node.callFrame;
      const key = `${functionName} ${url}:${lineNumber}`;
      byFunction.set(key, [...(byFunction.get(key) ?? []), node]);
    }
    const callees = [...byFunction.values()].flatMap((group) => (group[0] ? [merged(group, group[0].callFrame)] : []));
    const own = same.reduce((sum, { id }) => sum + (self.get(id) ?? 0), 0);
    return { frame, self: own, callees, total: own + callees.reduce((sum, callee) => sum + callee.total, 0) };
  };
  const [root] = profile.nodes;
  if (root === undefined) throw new Error('the profile is empty');
  return merged([root], root.callFrame);
}
