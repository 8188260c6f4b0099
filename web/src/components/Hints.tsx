import { Suspense, useEffect, useState } from 'react';
import type { Props as HintProps } from './Hint';
import { lazily } from './lazily';
import { otherForm } from './TimeAgo';

const Hint = lazily<'Hint', HintProps>(() => import('./Hint'), 'Hint');

/** The delay before a hint, so that a pointer that only passes over an element shows none. */
const OPEN_MS = 250;

/**
 * The elements with a hint: those with `data-hint`, times, whose hint is their other form, and texts with `data-whole`,
 * whose hint is the whole text if it is cut. It is formatted when it is shown.
 */
const HINTED = '[data-hint], time:not([title]), [data-whole]';

/**
 * The tooltip for all hints of the page. It is shared, so that rows of tables need no separate tooltips.
 *
 * It works with the pointer, touch and the keyboard. Escape and scrolling close it.
 */
export function Hints() {
  const [shown, setShown] = useState<Shown>(null);
  useEffect(() => followHints(setShown), []);
  useEffect(() => {
    const { element, label } = shown ?? {};
    if (!element || label === undefined || label === element.ariaLabel || label === element.textContent) return;
    element.setAttribute('aria-description', label);
    return () => element.removeAttribute('aria-description');
  }, [shown]);
  return (
    shown && (
      <Suspense>
        <Hint element={shown.element} label={shown.label} />
      </Suspense>
    )
  );
}

type Shown = HintProps | null;

/** Reports the hint to show and its text, until the returned function is called. */
function followHints(show: (shown: Shown) => void): () => void {
  let current: HTMLElement | null = null;
  let opening: ReturnType<typeof setTimeout> | undefined;
  const words = new MutationObserver(() => open());
  const open = () => {
    const label = current?.isConnected ? hintOf(current) : undefined;
    show(current && label ? { element: current, label } : null);
  };
  const point = (target: EventTarget | null) => {
    const next = target instanceof Element ? target.closest<HTMLElement>(HINTED) : null;
    if (next === current) return;
    close();
    if (!next) return;
    current = next;
    opening = setTimeout(() => {
      open();
      words.observe(next, { attributeFilter: ['data-hint', 'datetime'] });
    }, OPEN_MS);
  };
  const close = () => {
    if (!current) return;
    current = null;
    clearTimeout(opening);
    words.disconnect();
    show(null);
  };
  const stop = new AbortController();
  const on = { signal: stop.signal, passive: true };
  document.addEventListener('pointerover', ({ target }) => point(target), on);
  document.addEventListener('pointerleave', close, on);
  document.addEventListener(
    'focusin',
    ({ target }) => target instanceof Element && target.matches(':focus-visible') && point(target),
    on,
  );
  document.addEventListener('focusout', close, on);
  document.addEventListener('keydown', ({ key }) => key === 'Escape' && close(), on);
  window.addEventListener('scroll', close, { ...on, capture: true });
  return () => {
    close();
    stop.abort();
  };
}

function hintOf(element: HTMLElement): string | undefined {
  if (element.dataset.hint !== undefined) return element.dataset.hint;
  if (element instanceof HTMLTimeElement) return otherForm(element);
  const isCut = element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight;
  return isCut ? element.textContent : undefined;
}
