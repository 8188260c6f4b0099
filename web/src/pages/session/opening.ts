/** The movement from a picture on the launcher to the session that it opens. */

import { t } from '@lingui/core/macro';
import { createContext } from 'react';

/** The picture that was pressed. */
export interface Opening {
  /** The address of the artwork, the last picture of the screen, or null for a workspace without artwork. */
  picture: string | Blob | null;
  /** Whether it is a picture of the screen, which fills the stage. */
  isScreen: boolean;
  /** The seconds that a start of the workspace usually takes; null = unknown. */
  expectedS: number | null;
  /** Where the picture was. */
  from: Rect;
  /** The time of the press, in milliseconds of `performance.now()`. */
  at: number;
}

export type Rect = Pick<DOMRect, 'left' | 'top' | 'width' | 'height'>;

/** The duration of the movement and of the dissolve to the desktop. */
export const MOVE_MS = 260;
export const FADE_MS = 180;

/** The opening of the session on this page; null if its address was opened directly. */
export const OpeningContext = createContext<Opening | null>(null);

const openings = new Map<string, Opening>();

/** Remembers from which picture a session is opened. Only the latest one is kept. */
export function rememberOpening(sessionId: string, opening: Opening | null): void {
  openings.clear();
  if (opening) openings.set(sessionId, opening);
}

export function openingOf(sessionId: string): Opening | null {
  return openings.get(sessionId) ?? null;
}

/** The opening from an element that shows `picture`; null if the element is not shown. */
export function openingFrom(
  element: Element | null,
  picture: Opening['picture'],
  { isScreen = false, expectedS = null }: Partial<Pick<Opening, 'isScreen' | 'expectedS'>> = {},
): Opening | null {
  const from = element?.getBoundingClientRect();
  if (!from || from.width === 0) return null;
  return { picture, isScreen, expectedS, from, at: performance.now() };
}

/** A start takes longer than usual after this multiple of its usual time. */
const LONG = 1.5;

/** The usual time of a start in words, or that the start takes longer; null if the usual time is unknown. */
export function estimateOf(expectedS: number | null | undefined, elapsedS: number): string | null {
  if (expectedS == null) return null;
  if (elapsedS > expectedS * LONG) return t`This takes longer than usual`;
  const seconds = Math.max(1, Math.round(expectedS));
  return t`It usually takes about ${seconds} s`;
}

/** The transformation that puts an element with the place `to` over the place `from`. */
export function moveTo(from: Rect, to: Rect): string {
  const [x, y] = [from.left - to.left, from.top - to.top];
  return `translate(${x}px, ${y}px) scale(${from.width / to.width}, ${from.height / to.height})`;
}

/**
 * Moves an element from the pressed picture to its own place. A second element for the same opening continues the
 * movement, so that the parts of the page can follow each other.
 */
export function playOpening(element: HTMLElement, opening: Opening, isReduced: boolean): void {
  const elapsed = performance.now() - opening.at;
  const to = element.getBoundingClientRect();
  if (isReduced || to.width === 0 || elapsed > LATEST_MS) return;
  const start = firstShown.get(opening) ?? performance.now();
  firstShown.set(opening, start);
  const shown = performance.now() - start;
  if (shown >= MOVE_MS) return;
  const animation = element.animate(
    [
      { transformOrigin: '0 0', transform: moveTo(opening.from, to) },
      { transformOrigin: '0 0', transform: 'none' },
    ],
    { duration: MOVE_MS, easing: 'cubic-bezier(0.2, 0, 0, 1)' },
  );
  animation.currentTime = shown;
}

/** A session that appears later than this is a page of its own, and no part of the movement. */
const LATEST_MS = 5000;
const firstShown = new WeakMap<Opening, number>();
