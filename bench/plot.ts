/** Draws lines as SVG, by Vega-Lite without a browser. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parse, View, type Runtime } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

export interface Plot {
  /** Name of the file without its folder, such as `growth.svg`. */
  file: string;
  title: string;
  x: { title: string; isLogarithmic: boolean };
  y: { title: string };
  lines: { name: string; points: { x: number; y: number }[] }[];
}

const WIDTH = 480;
const HEIGHT = 260;

/** Writes the plot to `path`; its y axis begins at 0, so that flat looks flat. */
export async function drawPlot(plot: Plot, path: string): Promise<void> {
  const values = plot.lines.flatMap(({ name, points }) => points.map((point) => ({ line: name, ...point })));
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: plot.title,
    width: WIDTH,
    height: HEIGHT,
    background: 'white',
    data: { values },
    mark: { type: 'line', point: values.length <= 100 },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: plot.x.title,
        scale: { type: plot.x.isLogarithmic ? 'symlog' : 'linear', nice: !plot.x.isLogarithmic },
        ...(plot.x.isLogarithmic
          ? { axis: { values: [...new Set(values.map((value) => value.x))], labelExpr: "format(datum.value, '~s')" } }
          : {}),
      },
      y: { field: 'y', type: 'quantitative', title: plot.y.title, scale: { zero: true } },
      color: { field: 'line', type: 'nominal', sort: null, legend: { title: null, labelLimit: 300 } },
    },
  };
  await writeSvg(parse(compile(spec).spec), path);
}

/** Writes what Vega draws to `path`. */
export async function writeSvg(runtime: Runtime, path: string): Promise<void> {
  const view = new View(runtime, { renderer: 'none' });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${await view.toSVG()}\n`);
  view.finalize();
}
