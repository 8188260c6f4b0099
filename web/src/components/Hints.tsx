import { Tooltip } from '@mantine/core';
import { useEffect, useState } from 'react';
import { absolute } from './TimeAgo';

/** Before a hint is shown; who passes over something with the pointer sees none. */
const OPEN_MS = 250;

/** What has a hint: `data-hint` says it; that of a time is the absolute time, which is put into words when it is wanted. */
const HINTED = '[data-hint], time:not([title])';

/**
 * The tooltip of everything on the page that has a hint: one for all, so that a row of a table needs none of its own.
 *
 * It is there for the pointer, for touch and for the keyboard; Escape and scrolling close it.
 */
export function Hints() {
  const [shown, setShown] = useState<Shown>(null);
  useEffect(() => followHints(setShown), []);
  useEffect(() => {
    const { element, label } = shown ?? {};
    if (!element || label === undefined || label === element.ariaLabel) return;
    element.setAttribute('aria-description', label);
    return () => element.removeAttribute('aria-description');
  }, [shown]);
  return shown && <Tooltip target={shown.element} label={shown.label} opened multiline maw={380} />;
}

type Shown = { element: HTMLElement; label: string } | null;

/** Say which hint is wanted and which words it has, until the function returned is called. */
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
  return element.dataset.hint ?? (element instanceof HTMLTimeElement ? absolute(element.dateTime) : undefined);
}
