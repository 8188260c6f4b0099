import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { type Cursor, indexAt } from './cursor';
import styles from './charts.module.css';
import {
  axisTexts,
  type ChartSpec,
  type Color,
  isolated,
  type Line,
  shown,
  stacked,
  type Unit,
  type Value,
  visible,
} from './shaping';

/** The width of the axis of values. */
const AXIS_PX: Record<Unit, number> = { number: 44, cores: 44, s: 52, bytes: 68 };
/** The gap between two times of the axis. */
const GAP_PX = 16;
/** A shorter drag is a click. */
const DRAG_PX = 6;

export interface Props {
  times: number[];
  lines: Line[];
  kind: ChartSpec['kind'];
  unit: Unit;
  cursor: Cursor;
  onZoom: (since: number, until: number) => void;
}

/** The drawing of a chart. A mouse marks a time in all charts of the page; a drag selects a period. */
export function Plot({ times, lines, kind, unit, cursor, onZoom }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme();
  const zoom = useRef(onZoom);
  useEffect(() => {
    zoom.current = onZoom;
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const options = optionsOf({ times, lines, kind, unit, cursor, onZoom: (...period) => zoom.current(...period) });
    const mark = (plot: uPlot) => {
      const index = indexAt(times, cursor.get());
      const time = index === null ? undefined : times[index];
      const left = time === undefined ? -10 : plot.valToPos(time, 'x');
      plot.setCursor({ left, top: time === undefined ? -10 : 0 }, false);
    };
    const plot = new uPlot(
      // Its places of times are known when it is ready.
      { ...options, ...sizeOf(element), hooks: { ...options.hooks, ready: [mark] } },
      dataOf(times, lines, kind),
      element,
    );
    const unsubscribe = cursor.subscribe(() => mark(plot));
    const resize = new ResizeObserver(() => plot.setSize(sizeOf(element)));
    resize.observe(element);
    return () => {
      unsubscribe();
      resize.disconnect();
      plot.destroy();
    };
  }, [times, lines, kind, unit, cursor, scheme]);
  return <div ref={box} className={styles.plot} aria-hidden />;
}

/** The size of the drawing: charts.module.css defines its height. */
function sizeOf({ clientWidth, clientHeight }: HTMLElement) {
  return { width: clientWidth, height: clientHeight };
}

/** The data as uPlot draws it. Of stacked lines the top one is drawn first, and the others over it. */
function dataOf(times: number[], lines: Line[], kind: ChartSpec['kind']): uPlot.AlignedData {
  const values = lines.map((line) => line.values);
  const drawn: Value[][] = kind === 'lines' ? values : stacked(kind === 'bars' ? visible(values) : values).reverse();
  return [times, ...drawn];
}

function optionsOf({ times, lines, kind, unit, cursor, onZoom }: Props): Omit<uPlot.Options, 'width' | 'height'> {
  const root = getComputedStyle(document.documentElement);
  const token = (name: string) => root.getPropertyValue(`--gr-${name}`).trim();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { font, stroke: token('text-muted'), ticks: { show: false } };
  const step = (times[1] ?? 0) - (times[0] ?? 0);
  const lastBar = kind === 'bars' ? (times.at(-1) ?? 0) : Infinity;
  return {
    padding: [8, 20, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: [times[0] ?? 0, (times.at(-1) ?? 0) + (kind === 'bars' ? step : 0)] },
      y: { range: rangeFrom0 },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: (plot) => spaceOf(plot, times, font),
        grid: { show: false },
        // No bar begins at the end of the chart, so the mark there has no text.
        values: (_, marks, __, ___, each) =>
          axisTexts(marks, each).map((text, index) => ((marks[index] ?? 0) > lastBar ? '' : text)),
      },
      {
        ...axis,
        size: AXIS_PX[unit],
        incrs: unit === 'number' ? WHOLE_STEPS : undefined,
        space: 32,
        grid: { stroke: token('border'), width: 1 },
        values: (_, marks) => marks.map((mark) => shown(mark, unit)),
      },
    ],
    series: [{}, ...drawnOrder(lines, kind).map((line) => seriesOf(line, kind, token))],
    cursor: {
      y: false,
      points: { show: kind === 'lines', size: 7 },
      drag: { x: true, y: false, setScale: false, dist: DRAG_PX },
      bind: { dblclick: () => null },
    },
    hooks: {
      setCursor: [
        ({ cursor: { event, idx } }) => {
          if (!event) return; // only the mouse marks a time here, not the first drawing of the chart
          cursor.set(typeof idx === 'number' ? (times[idx] ?? null) : null);
        },
      ],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < DRAG_PX) return;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          onZoom(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
        },
      ],
    },
  };
}

/** The least distance between two times of the axis: "12:30 PM" is wider than "12:30", and typefaces differ. */
function spaceOf({ ctx }: uPlot, times: number[], font: string): number {
  ctx.save();
  ctx.font = font;
  const texts = [...axisTexts(times, 60), ...axisTexts(times, 86_400)];
  const widest = Math.max(...texts.map((text) => ctx.measureText(text).width));
  ctx.restore();
  return widest + GAP_PX;
}

/** The steps of whole numbers. */
const WHOLE_STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

function rangeFrom0(_plot: uPlot, _min: number, max: number): uPlot.Range.MinMax {
  return [0, max > 0 ? max * 1.08 : 1];
}

function drawnOrder(lines: Line[], kind: ChartSpec['kind']): Line[] {
  return kind === 'lines' ? lines : [...lines].reverse();
}

function seriesOf(
  { color, isGoal, values }: Line,
  kind: ChartSpec['kind'],
  token: (name: Color) => string,
): uPlot.Series {
  const stroke = token(color);
  const common = { stroke, width: 1.5, points: { show: false, size: 4, fill: stroke, filter: () => isolated(values) } };
  if (isGoal) return { ...common, dash: [5, 4], paths: uPlot.paths.stepped?.({ align: 1 }) };
  if (kind === 'bars') {
    const paths = uPlot.paths.bars?.({ size: [0.8, 24], align: 1 });
    return { ...common, width: 0, fill: stroke, paths };
  }
  return kind === 'areas' ? { ...common, fill: stroke } : common;
}
