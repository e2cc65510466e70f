/** Draws a call tree as a flame graph in SVG, by Vega without a browser. */
import { parse, type Spec } from 'vega';
import { moduleOf, type Call, type CallFrame } from './cpu-profile.js';
import { writeSvg } from './plot.js';

interface Box {
  id: number;
  parent: number | null;
  name: string;
  kind: keyof typeof COLOURS;
  /** Its time without that of the boxes above it, in µs. */
  self: number;
}

const WIDTH = 1_200;
const ROW_HEIGHT = 15;
/** Calls of less than this share of the whole get no box. */
const THINNEST = 0.002;
const COLOURS = { 'the centre': '#f5a623', packages: '#8fbf6f', 'Node.js': '#7fb2e5', 'garbage collection': '#c0c0c0' };

/** Writes the flame graph to `path`: a call stands on its caller, as wide as its time on the processor. */
export async function drawFlameGraph(tree: Call, title: string, path: string): Promise<void> {
  const boxes = boxesOf(tree);
  const rows = Math.max(...boxes.map(({ row }) => row)) + 1;
  const spec: Spec = {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: WIDTH,
    height: rows * ROW_HEIGHT,
    background: 'white',
    padding: 5,
    title,
    data: [
      {
        name: 'boxes',
        values: boxes.map(({ box }) => box),
        transform: [
          { type: 'stratify', key: 'id', parentKey: 'parent' },
          { type: 'partition', field: 'self', size: [{ signal: 'width' }, { signal: 'height' }] },
        ],
      },
    ],
    scales: [{ name: 'colour', type: 'ordinal', domain: Object.keys(COLOURS), range: Object.values(COLOURS) }],
    legends: [{ fill: 'colour', orient: 'top', direction: 'horizontal' }],
    marks: [
      {
        type: 'rect',
        from: { data: 'boxes' },
        encode: {
          enter: {
            x: { field: 'x0' },
            x2: { field: 'x1' },
            y: { signal: 'height - datum.y0' },
            y2: { signal: 'height - datum.y1' },
            fill: { scale: 'colour', field: 'kind' },
            stroke: { value: 'white' },
            strokeWidth: { value: 0.5 },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'boxes' },
        encode: {
          enter: {
            x: { signal: 'datum.x0 + 2' },
            y: { signal: 'height - (datum.y0 + datum.y1) / 2' },
            baseline: { value: 'middle' },
            fontSize: { value: 10 },
            text: { signal: "datum.x1 - datum.x0 < 20 ? '' : datum.name" },
            limit: { signal: 'datum.x1 - datum.x0 - 3' },
          },
        },
      },
    ],
  };
  await writeSvg(parse(spec), path);
}

function boxesOf(tree: Call): { box: Box; row: number }[] {
  const placed: { box: Box; row: number }[] = [];
  const place = (call: Call, parent: number | null, row: number): void => {
    const wide = call.callees.filter((callee) => callee.total >= THINNEST * tree.total);
    const self = call.total - wide.reduce((sum, callee) => sum + callee.total, 0);
    const id = placed.length;
    placed.push({ box: { id, parent, name: nameOf(call.frame), kind: kindOf(call.frame), self }, row });
    for (const callee of wide.sort((a, b) => b.total - a.total)) place(callee, id, row + 1);
  };
  place(tree, null, 0);
  return placed;
}

function kindOf(frame: CallFrame): Box['kind'] {
  if (frame.functionName === '(garbage collector)') return 'garbage collection';
  if (frame.url.includes('node_modules/')) return 'packages';
  return /\/dist\/src\//.test(frame.url) ? 'the centre' : 'Node.js';
}

function nameOf(frame: CallFrame): string {
  const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
  return frame.url === '' ? name : `${name} – ${moduleOf(frame)}`;
}
