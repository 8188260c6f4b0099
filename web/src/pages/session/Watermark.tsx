import { useEffect } from 'react';
import { useClock } from '../../components/clock';

const SVG = 'http://www.w3.org/2000/svg';
const [LINE_HEIGHT, CHARACTER_WIDTH, GAP, MIN_WIDTH, HEIGHT] = [24, 10, 90, 300, 150];

/**
 * The text and the time in UTC, repeated over the whole window. It does not receive input.
 *
 * It is not part of the tree of React: if the page removes or changes it, it is drawn again. A user who controls the
 * browser can still hide it, for example with a style sheet.
 */
export function Watermark({ text }: { text: string }) {
  const time = useClock(minuteOf);
  useEffect(() => draw([text, time]), [text, time]);
  return null;
}

/** "2026-11-28 09:30 UTC" */
export function minuteOf(now: number): string {
  return `${new Date(now).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Draws the lines, and draws them again after a change, until the returned function is called. */
function draw(lines: string[]): () => void {
  let drawn = pictureOf(lines);
  const original = drawn.outerHTML;
  const observer = new MutationObserver(restore);
  show();
  return () => {
    observer.disconnect();
    drawn.remove();
  };

  function show() {
    document.body.append(drawn);
    observer.observe(document.body, { childList: true });
    observer.observe(drawn, { attributes: true, characterData: true, childList: true, subtree: true });
  }

  function restore() {
    if (drawn.parentNode === document.body && drawn.outerHTML === original) return;
    observer.disconnect();
    drawn.remove();
    drawn = pictureOf(lines);
    show();
  }
}

/** A picture that repeats the lines, rotated. Each character is drawn in white with a dark edge, for any background. */
function pictureOf(lines: string[]): SVGElement {
  const longest = Math.max(...lines.map((line) => line.length));
  const width = Math.max(MIN_WIDTH, longest * CHARACTER_WIDTH + GAP);
  const texts = lines.map((line, number) => element('text', { x: 0, y: LINE_HEIGHT * (number + 1) }, line));
  const attributes = { width, height: HEIGHT, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(-24)' };
  const pattern = element('pattern', { id: 'watermark', ...attributes }, ...texts);
  const area = element('rect', { width: '100%', height: '100%', fill: 'url(#watermark)' });
  return element('svg', { class: 'watermark', 'aria-hidden': 'true' }, element('defs', {}, pattern), area);
}

function element(name: string, attributes: Record<string, string | number>, ...content: (Node | string)[]): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  made.append(...content);
  return made;
}
