import { useComputedColorScheme } from '@mantine/core';
import { useReducedMotion } from '@mantine/hooks';
import { useLayoutEffect, useMemo, useRef } from 'react';
import type { Rect, Scene } from './layout';
import type { Looks } from './looks';
import { between, type Change, changeOf, type Drawing, drawingOf, hasMovement, MOVE_MS } from './motion';
import { erase, paint, type Palette, paletteOf } from './paint';
import styles from './stage.module.css';

/** The maximum number of pixels of the canvas. A larger map is drawn with fewer pixels. */
const MOST_PIXELS = 16_000_000;

interface Props {
  scene: Scene;
  looks: Looks;
  /** The workspace whose dots are marked; null = all. */
  only: string | null;
}

/**
 * The sessions as dots. Dots that move are drawn on their own canvas, which covers only the visible part of the map, and
 * the other canvas changes only where dots change: without a graphics processor, more would take longer than a frame.
 */
export function Dots({ scene, looks, only }: Props) {
  const stillCanvas = useRef<HTMLCanvasElement>(null);
  const movingCanvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef<{ drawing: Drawing; width: number } | null>(null);
  /** The dots on the still canvas, and what their picture depends on. */
  const painted = useRef<{ drawing: Drawing; basis: string; palette: Palette } | null>(null);
  const isStill = useReducedMotion();
  const scheme = useComputedColorScheme();
  const { dots, width, height, sizes } = scene;
  const target = useMemo(() => drawingOf(dots, looks, only), [dots, looks, only]);
  useLayoutEffect(() => {
    const still = stillCanvas.current?.getContext('2d');
    const moving = movingCanvas.current?.getContext('2d');
    if (!still || !moving) return;
    const ratio = Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / Math.max(1, width * height)));
    const basis = [width, height, ratio, sizes.radius, scheme].join(' ');
    if (painted.current?.basis !== basis) {
      fit(still, { x: 0, y: 0, width, height }, ratio);
      still.clearRect(0, 0, width, height);
      painted.current = { drawing: new Map(), basis, palette: paletteOf(still.canvas) };
    }
    const onCanvas = painted.current;
    const { palette } = onCanvas;
    const drawStill = (drawing: Drawing) => {
      const change = changeOf(onCanvas.drawing, drawing);
      erase(still, change.before, sizes.radius);
      paint(still, change.after, sizes.radius, palette);
      onCanvas.drawing = drawing;
    };
    const drawMoving = (change: Change, part: number) => {
      const rect = visiblePart(still.canvas);
      fit(moving, rect, ratio);
      moving.clearRect(rect.x, rect.y, rect.width, rect.height);
      paint(moving, between(change, part), sizes.radius, palette);
    };
    const rest = () => {
      drawStill(target);
      fit(moving, { x: 0, y: 0, width: 0, height: 0 }, ratio);
      shown.current = { drawing: target, width };
    };
    const before = shown.current;
    const change = before?.width === width && !isStill ? changeOf(before.drawing, target) : null;
    if (!change || !hasMovement(change)) {
      rest();
      return;
    }
    drawStill(change.still);
    drawMoving(change, 0);
    const start = performance.now();
    let part = 0;
    const step = (now: number) => {
      part = (now - start) / MOVE_MS;
      if (part < 1) {
        drawMoving(change, part);
        frame = requestAnimationFrame(step);
      } else rest();
    };
    let frame = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(frame);
      if (part < 1) shown.current = { drawing: new Map([...change.still, ...between(change, part)]), width };
    };
  }, [target, width, height, sizes, isStill, scheme]);
  return (
    <>
      <canvas ref={stillCanvas} className={styles.dots} aria-hidden />
      <canvas ref={movingCanvas} className={styles.dots} aria-hidden />
    </>
  );
}

/** The part of an element that the window shows. */
function visiblePart(element: Element): Rect {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  const [x, y] = [Math.max(0, -left), Math.max(0, -top)];
  return {
    x,
    y,
    width: Math.max(0, Math.min(right, innerWidth) - left - x),
    height: Math.max(0, Math.min(bottom, innerHeight) - top - y),
  };
}

/** Puts a canvas over a part of the map. `ratio` is its pixels per pixel of the page. A new size clears it. */
function fit(context: CanvasRenderingContext2D, { x, y, width, height }: Rect, ratio: number) {
  const { canvas } = context;
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixelWidth) canvas.width = pixelWidth;
  if (canvas.height !== pixelHeight) canvas.height = pixelHeight;
  Object.assign(canvas.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  context.setTransform(ratio, 0, 0, ratio, -x * ratio, -y * ratio);
}
