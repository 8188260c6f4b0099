// Keys: what a hidden field takes goes to noVNC as it came, what was composed is typed as text; and keys on the screen.
import { takeFromComputer } from './clipboard.js';
import { connection, rfb } from './connection.js';
import { onMessage, tellParent } from './parent.js';
import { ENTER, takeTyping, takeWayOut } from './typing.js';

const screen = document.getElementById('screen');
const field = document.getElementById('typed');
const bar = document.getElementById('keys');
const KEYSYMS = { Escape: 0xff1b, Tab: 0xff09, Control: 0xffe3, Alt: 0xffe9, Left: 0xff51, Up: 0xff52, Right: 0xff53, Down: 0xff54 };
const held = new Set();

export function press(keysym) {
  rfb?.sendKey(keysym, null, true);
  rfb?.sendKey(keysym, null, false);
  release();
}

function release() {
  for (const name of held) rfb?.sendKey(KEYSYMS[name], null, false);
  held.clear();
  for (const button of bar.querySelectorAll('[aria-pressed]')) button.ariaPressed = 'false';
}

export function type(text) {
  for (const char of text) {
    const code = char.codePointAt(0);
    press(char === '\n' ? ENTER : code < 0x100 ? code : 0x1000000 | code);
  }
}

/** Press or release a key as a KeyboardEvent says it; whether noVNC took it. */
export function pass(kind, key) {
  const event = new KeyboardEvent(kind, { ...key, cancelable: true });
  screen.querySelector('canvas')?.dispatchEvent(event);
  return event.defaultPrevented;
}

const drop = takeTyping(field, { pass, press, type, paste: takeFromComputer });

// --- The focus ------------------------------------------------------------------------------------------------------
connection.addEventListener('connecting', () => {
  drop();
  rfb.focus = () => field.focus({ preventScroll: true });
});
// Candidates of an input method are shown where the user has pointed to last.
window.addEventListener('pointerdown', (event) => {
  field.inputMode = event.pointerType === 'touch' ? 'none' : 'text';
  field.style.left = `${event.clientX}px`;
  field.style.top = `${event.clientY}px`;
  if (event.pointerType === 'touch' && !bar.dataset.closed) bar.hidden = false;
}, true);

// --- Keys on the screen ---------------------------------------------------------------------------------------------
bar.addEventListener('pointerdown', (event) => event.preventDefault()); // the field keeps the focus
bar.addEventListener('click', ({ target }) => {
  const name = target.dataset?.key;
  if (name === 'close') {
    bar.hidden = true;
    bar.dataset.closed = 'true';
  } else if (name === 'keyboard') {
    field.inputMode = 'text';
    field.blur();
    field.focus();
  } else if (name === 'Control' || name === 'Alt') {
    const isHeld = !held.delete(name);
    if (isHeld) held.add(name);
    rfb?.sendKey(KEYSYMS[name], null, isHeld);
    target.ariaPressed = String(isHeld);
  } else if (name) press(KEYSYMS[name]);
});

// Also when a second window had the keys, which it passes on.
takeWayOut(() => tellParent({ type: 'menu', pressed: true }));
onMessage('hello', () => tellParent({ type: 'menu', pressed: false }));
onMessage('focus', () => rfb?.focus());
// The embedding page gives the frame the focus before its message arrives. A key in between is for the desktop, too.
window.addEventListener('focus', () => { if (document.activeElement === document.body) rfb?.focus(); });
onMessage('keys', ({ keys }) => { if (keys === 'ctrl-alt-delete') rfb?.sendCtrlAltDel(); });
