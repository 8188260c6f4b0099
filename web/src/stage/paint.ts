/** Draws the dots on a canvas. Dots with the same look are one path, so that thousands of them take few calls. */

import type { Drawing, Drawn } from './motion';
import { COLORS } from './looks';

export interface Palette {
  /** The colors of the workspaces, the last one for further workspaces. */
  colors: string[];
  failure: string;
}

/** The colors of the current theme (tokens.css). */
export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const token = (name: string) => style.getPropertyValue(`--gr-${name}`).trim();
  const charts = Array.from({ length: COLORS }, (_, index) => token(`chart-${index + 1}`));
  return { colors: [...charts, token('neutral')], failure: token('failure') };
}

/** The opacity of dots of other workspaces while one is marked. */
const FADED = 0.15;
const LINE_PX = 1.75;

/** Draws dots. The unit of the context is a pixel of the page. */
export function paint(context: CanvasRenderingContext2D, drawing: Drawing, radius: number, palette: Palette): void {
  const batches = new Map<string, Drawn[]>();
  for (const dot of drawing.values()) {
    const look = `${dot.color} ${dot.shape} ${dot.isHollow} ${dot.isFaded}`;
    const batch = batches.get(look);
    if (batch) batch.push(dot);
    else batches.set(look, [dot]);
  }
  context.lineWidth = LINE_PX;
  context.lineCap = 'round';
  for (const batch of batches.values()) {
    const [first] = batch;
    if (!first) continue;
    const color = first.shape === 'failed' ? palette.failure : (palette.colors[first.color] ?? '');
    context.globalAlpha = first.isFaded ? FADED : 1;
    context.fillStyle = color;
    context.strokeStyle = color;
    context.beginPath();
    for (const dot of batch) trace(context, dot, radius);
    if (first.isHollow || first.shape === 'failed') context.stroke();
    else context.fill();
  }
  context.globalAlpha = 1;
}

/** Clears the places of dots, which do not overlap others. */
export function erase(context: CanvasRenderingContext2D, drawing: Drawing, radius: number): void {
  const reach = radius + 1; // the edge is smoothed
  for (const { x, y } of drawing.values()) context.clearRect(x - reach, y - reach, 2 * reach, 2 * reach);
}

/** Adds the outline of a dot to the path. */
function trace(context: CanvasRenderingContext2D, { x, y, scale, shape, isHollow }: Drawn, radius: number): void {
  const size = (isHollow ? radius - LINE_PX / 2 : radius) * scale;
  if (size <= 0) return;
  if (shape === 'failed') {
    const arm = size * 0.7;
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x + arm, y - arm);
    context.lineTo(x - arm, y + arm);
  } else if (shape === 'resting') {
    context.rect(x - size, y - size * 0.4, 2 * size, size * 0.8);
  } else {
    const reach = shape === 'moving' ? size * 0.55 : size;
    context.moveTo(x + reach, y);
    context.arc(x, y, reach, 0, 2 * Math.PI);
  }
}
