import { useComputedColorScheme } from '@mantine/core';
import { useReducedMotion } from '@mantine/hooks';
import { useLayoutEffect, useMemo, useRef } from 'react';
import type { Scene } from './layout';
import type { Looks } from './looks';
import { between, differs, type Drawing, drawingOf, MOVE_MS } from './motion';
import { paint, paletteOf } from './paint';
import styles from './stage.module.css';

/** The maximum number of pixels of the canvas. A larger map is drawn with fewer pixels. */
const MOST_PIXELS = 16_000_000;

interface Props {
  scene: Scene;
  looks: Looks;
  /** The workspace whose dots are marked; null = all. */
  only: string | null;
}

/** The sessions as dots. The canvas is drawn only while dots move, and after changes. */
export function Dots({ scene, looks, only }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef<{ drawing: Drawing; width: number } | null>(null);
  const isStill = useReducedMotion();
  const scheme = useComputedColorScheme();
  const { dots, width, height, sizes } = scene;
  const target = useMemo(() => drawingOf(dots, looks, only), [dots, looks, only]);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    const ratio = Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / Math.max(1, width * height)));
    const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (context.canvas.width !== pixelWidth) context.canvas.width = pixelWidth;
    if (context.canvas.height !== pixelHeight) context.canvas.height = pixelHeight;
    const palette = paletteOf(context.canvas);
    const draw = (drawing: Drawing) => {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      paint(context, drawing, sizes.radius, palette);
      shown.current = { drawing, width };
    };
    const before = shown.current;
    if (!before || isStill || before.width !== width || !differs(before.drawing, target)) {
      draw(target);
      return;
    }
    draw(before.drawing); // a new size of the canvas cleared it
    const start = performance.now();
    let frame = 0;
    const step = (now: number) => {
      const part = (now - start) / MOVE_MS;
      draw(between(before.drawing, target, part));
      if (part < 1) frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [target, width, height, sizes, isStill, scheme]);
  return <canvas ref={canvas} className={styles.dots} style={{ width, height }} aria-hidden />;
}
