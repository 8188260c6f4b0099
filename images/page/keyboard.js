// Keys: a hidden field takes them, so that input methods, dead keys and the keyboards of phones can compose what they type.
// What is one key goes to noVNC as it came; what was composed is typed as text.
import { connection, rfb } from './connection.js';
import { onMessage } from './parent.js';

const screen = document.getElementById('screen');
const field = document.getElementById('typed');
const bar = document.getElementById('keys');
const FILLER = '  ';
/** So that a phone's keyboard has something to delete. */
const KEYSYMS = { Escape: 0xff1b, Tab: 0xff09, Control: 0xffe3, Alt: 0xffe9, Left: 0xff51, Up: 0xff52, Right: 0xff53, Down: 0xff54, Enter: 0xff0d, Backspace: 0xff08 };
const down = new Set();
const held = new Set();

function press(keysym) {
  rfb?.sendKey(keysym, null, true);
  rfb?.sendKey(keysym, null, false);
  release();
}

function release() {
  for (const name of held) rfb?.sendKey(KEYSYMS[name], null, false);
  held.clear();
  for (const button of bar.querySelectorAll('[aria-pressed]')) button.ariaPressed = 'false';
}

function type(text) {
  for (const char of text) {
    const code = char.codePointAt(0);
    press(char === '\n' ? KEYSYMS.Enter : code < 0x100 ? code : 0x1000000 | code);
  }
}

function empty() {
  field.value = FILLER;
  field.setSelectionRange(FILLER.length, FILLER.length);
}

// --- One key --------------------------------------------------------------------------------------------------------
function pass(event) {
  const { type: kind, key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat } = event;
  const modifiers = Object.fromEntries(['CapsLock', 'NumLock', 'ScrollLock', 'AltGraph'].map((name) => [`modifier${name}`, event.getModifierState(name)]));
  const again = new KeyboardEvent(kind, { key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat, cancelable: true, ...modifiers });
  screen.querySelector('canvas')?.dispatchEvent(again);
  if (again.defaultPrevented) event.preventDefault();
}

field.addEventListener('keydown', (event) => {
  if (event.isComposing || event.keyCode === 229 || ['Dead', 'Process', 'Unidentified'].includes(event.key)) return;
  down.add(event.code);
  pass(event);
});
field.addEventListener('keyup', (event) => { if (down.delete(event.code)) pass(event); });

// --- What was composed ----------------------------------------------------------------------------------------------
field.addEventListener('compositionend', ({ data }) => {
  type(data);
  empty();
});
field.addEventListener('input', ({ isComposing, inputType, data }) => {
  if (isComposing || inputType === 'insertCompositionText' || inputType === 'insertFromComposition') return;
  if (inputType === 'deleteContentBackward') press(KEYSYMS.Backspace);
  else if (inputType === 'insertLineBreak' || inputType === 'insertParagraph') press(KEYSYMS.Enter);
  else if (data) type(data);
  empty();
});

// --- The focus ------------------------------------------------------------------------------------------------------
connection.addEventListener('connecting', () => {
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

empty();
onMessage('focus', () => rfb?.focus());
onMessage('keys', ({ keys }) => { if (keys === 'ctrl-alt-delete') rfb?.sendCtrlAltDel(); });
