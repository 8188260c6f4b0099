import { type FocusEvent, type KeyboardEvent, type RefObject, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import { sessionText } from './facts';
import { ARROWS, nearest } from './keys';
import { type Dot, dotAt, type Rect, type Scene } from './layout';
import styles from './stage.module.css';

/** The size of the link of a dot (WCAG 2.5.8). */
const LINK_PX = 24;

/**
 * The keyboard on the map: one object is in the order of Tab, arrows move to the nearest object, and the space key enters
 * the sessions of an Agent or a pool. `entered` is the session with the focus.
 */
export function useStageKeys(frame: RefObject<HTMLElement | null>, scene: Scene) {
  const [chosen, setChosen] = useState<string | null>(null);
  const [sessionId, setSessionId] = useState<string | null>(null);
  const { rects, dots } = scene;
  const current = chosen !== null && rects.has(chosen) ? chosen : (rects.keys().next().value ?? null);
  const entered = dots.find((dot) => dot.session.session_id === sessionId) ?? null;
  const focus = (key: string) => frame.current?.querySelector<HTMLElement>(`[data-key="${key}"]`)?.focus();
  const isLost = sessionId !== null && !entered;
  useEffect(() => {
    if (!isLost) return;
    setSessionId(null); // the session ended; its place gets the focus
    if (document.activeElement !== document.body || current === null) return;
    frame.current?.querySelector<HTMLElement>(`[data-key="${current}"]`)?.focus();
  }, [isLost, current, frame]);

  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.dataset.dot !== undefined && entered) {
      const others = dots.filter(({ place }) => place === entered.place);
      const next = nextDot(event.key, entered, others);
      if (event.key === 'Escape') focus(entered.place);
      else if (next) setSessionId(next.session.session_id);
      else if (!(event.key in ARROWS)) return;
    } else if (target.dataset.key !== undefined) {
      const key = target.dataset.key;
      const next = nextKey(event.key, key, rects);
      if (next !== null) focus(next);
      else if (event.key === ' ') {
        const first = dots.find(({ place }) => place === key);
        if (first) setSessionId(first.session.session_id);
      } else if (!(event.key in ARROWS)) return;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onFocus = ({ target }: FocusEvent<HTMLElement>) => {
    const key = target.dataset.key;
    if (key === undefined) return;
    setChosen(key);
    setSessionId(null);
  };
  const onBlur = ({ relatedTarget }: FocusEvent) => {
    if (relatedTarget && !frame.current?.contains(relatedTarget)) setSessionId(null);
  };
  return { current, entered, onKeyDown, onFocus, onBlur };
}

function nextKey(pressed: string, key: string, rects: Map<string, Rect>): string | null {
  const from = rects.get(key);
  const direction = ARROWS[pressed];
  if (direction && from) return nearest(from, rects, direction);
  if (pressed === 'Home') return [...rects.keys()][0] ?? null;
  return pressed === 'End' ? ([...rects.keys()].at(-1) ?? null) : null;
}

function nextDot(pressed: string, from: Dot, dots: Dot[]): Dot | undefined {
  if (pressed === 'Home') return dots[0];
  if (pressed === 'End') return dots.at(-1);
  const direction = ARROWS[pressed];
  if (!direction) return undefined;
  const rects = dots.map((dot) => [dot.session.session_id, asRect(dot)] as [string, Rect]);
  const id = nearest(asRect(from), rects, direction);
  return dots.find(({ session }) => session.session_id === id);
}

function asRect({ x, y }: Dot): Rect {
  return { x, y, width: 0, height: 0 };
}

interface Props {
  frame: RefObject<HTMLElement | null>;
  scene: Scene;
  /** The session that has the focus of the keyboard. */
  entered: Dot | null;
  hostnames: Map<string, string>;
}

/** The links of two sessions: the one below the pointer, and the one with the focus. Other dots have no elements. */
export function Pointed({ frame, scene, entered, hostnames }: Props) {
  const [below, setBelow] = useState<string | null>(null);
  const latest = useRef(scene);
  latest.current = scene;
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const stop = new AbortController();
    const look = (event: PointerEvent) => {
      const { left, top } = element.getBoundingClientRect();
      const dot = dotAt(latest.current, { x: event.clientX - left, y: event.clientY - top });
      setBelow(dot?.session.session_id ?? null);
    };
    const on = { signal: stop.signal, passive: true };
    element.addEventListener('pointermove', look, on);
    element.addEventListener('pointerleave', () => setBelow(null), on);
    return () => stop.abort();
  }, [frame]);
  const hovered = scene.dots.find(({ session }) => session.session_id === below);
  return (
    <>
      {hovered && hovered !== entered && <DotLink key={`below ${below}`} dot={hovered} hostnames={hostnames} />}
      {entered && (
        <DotLink key={`entered ${entered.session.session_id}`} dot={entered} hostnames={hostnames} hasFocus />
      )}
    </>
  );
}

interface LinkProps {
  dot: Dot;
  hostnames: Map<string, string>;
  hasFocus?: boolean;
}

function DotLink({ dot: { session, x, y }, hostnames, hasFocus = false }: LinkProps) {
  const link = useRef<HTMLAnchorElement>(null);
  const text = sessionText(session, hostnames.get(session.agent_id ?? '') ?? null);
  useEffect(() => {
    if (hasFocus) link.current?.focus();
  }, [hasFocus]);
  return (
    <Link
      ref={link}
      to={`/admin/sessions/${session.session_id}`}
      className={styles.dotLink}
      style={{ left: x - LINK_PX / 2, top: y - LINK_PX / 2 }}
      tabIndex={-1}
      aria-label={text}
      data-hint={text}
      {...(hasFocus ? { 'data-dot': '' } : { 'aria-hidden': true })}
    />
  );
}
