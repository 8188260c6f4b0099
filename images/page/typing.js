// What is typed into a hidden field, so that input methods, dead keys and the keyboards of phones can compose it: one key is
// passed on as it came, what was composed as text. What is pasted comes before the key that pastes it.
export const ENTER = 0xff0d;
export const BACKSPACE = 0xff08;
/** So that a phone's keyboard has something to delete. */
const FILLER = '  ';
const LOCKS = ['CapsLock', 'NumLock', 'ScrollLock', 'AltGraph'];
/** Some browsers ask another process between the key and its `paste` event; an empty clipboard has no such event. */
const PASTE_TIMEOUT_MS = 500;
/** A `paste` event that is later than this is of no key, but of a menu. */
const LATE_PASTE_MS = 5000;
const WAY_OUT = ['Control', 'Alt', 'Shift'];

/** Whether the browser pastes at this key: Ctrl+V, Cmd+V, also with Shift and in other alphabets, or Shift+Insert. */
function pastes({ key, code, ctrlKey, metaKey, shiftKey, altKey, repeat }) {
  if (altKey || repeat) return false;
  if (ctrlKey === metaKey) return !ctrlKey && shiftKey && key === 'Insert';
  return key === 'v' || key === 'V' || (code === 'KeyV' && key > '\x7f');
}

function contentOf(clipboard) {
  const picture = [...clipboard.items].find(({ kind, type }) => kind === 'file' && type === 'image/png');
  return { text: clipboard.getData('text/plain'), image: picture?.getAsFile() ?? null };
}

/**
 * Listen to the field. `pass(kind, key)` gets a key as KeyboardEvent takes it and says whether the browser shall leave it
 * alone; `press(keysym)` and `type(text)` what was composed. `paste({ text, image })` gets what this computer's clipboard has:
 * every page gets it when the user pastes. Keys wait for its promise. Returns a function that drops these keys.
 */
export function takeTyping(field, { pass, press, type, paste }) {
  const down = new Set();
  /** What was typed since a key that pastes, with this key; null = what is typed is passed on at once. */
  let waiting = null;
  let pastedAt = -Infinity;
  let timer = 0;

  const inOrder = (act) => {
    if (waiting === null) act();
    else waiting.push(act);
  };
  const drop = () => {
    clearTimeout(timer);
    waiting = null;
  };
  const goOn = () => {
    const acts = waiting ?? [];
    drop();
    acts.forEach(inOrder);
  };
  const empty = () => {
    field.value = FILLER;
    field.setSelectionRange(FILLER.length, FILLER.length);
  };
  const passed = (event) => {
    const { type: kind, key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat } = event;
    const locks = Object.fromEntries(LOCKS.map((name) => [`modifier${name}`, event.getModifierState(name)]));
    const whole = { key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat, ...locks };
    if (waiting === null && pastes(event) && kind === 'keydown') {
      pastedAt = event.timeStamp;
      waiting = [() => pass(kind, whole)];
      timer = setTimeout(goOn, PASTE_TIMEOUT_MS);
    } else if (waiting !== null || pass(kind, whole)) {
      event.preventDefault();
      waiting?.push(() => pass(kind, whole));
    }
  };
  field.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229 || ['Dead', 'Process', 'Unidentified'].includes(event.key)) return;
    down.add(event.code);
    passed(event);
  });
  field.addEventListener('keyup', (event) => { if (down.delete(event.code)) passed(event); });
  field.addEventListener('paste', async (event) => {
    if (event.timeStamp - pastedAt > LATE_PASTE_MS) return; // its text is typed
    event.preventDefault();
    clearTimeout(timer);
    const keys = waiting;
    try {
      await paste(contentOf(event.clipboardData));
    } finally {
      if (waiting === keys) goOn();
    }
  });
  field.addEventListener('compositionend', ({ data }) => {
    inOrder(() => type(data));
    empty();
  });
  field.addEventListener('input', ({ isComposing, inputType, data }) => {
    if (isComposing || inputType === 'insertCompositionText' || inputType === 'insertFromComposition') return;
    if (inputType === 'deleteContentBackward') inOrder(() => press(BACKSPACE));
    else if (inputType === 'insertLineBreak' || inputType === 'insertParagraph') inOrder(() => press(ENTER));
    else if (data) inOrder(() => type(data));
    empty();
  });
  // All keys are let go then: a release that comes afterwards must not find the key pressed again.
  window.addEventListener('blur', drop);
  empty();
  return drop;
}

/**
 * Call `leave` when Ctrl+Alt+Shift was pressed and let go without another key or a click: the way out of a desktop that gets
 * all keys. The desktop gets these, too, and all of them are up again by then.
 */
export function takeWayOut(leave) {
  const down = new Set();
  let isMeant = false;
  const nameOf = ({ key, code }) => (key === 'AltGraph' ? key : code.replace(/(Left|Right)$/, ''));
  window.addEventListener('keydown', (event) => {
    if (event.repeat) return;
    const name = nameOf(event);
    if (WAY_OUT.includes(name)) down.add(name);
    isMeant = WAY_OUT.includes(name) && down.size === WAY_OUT.length;
  }, true);
  window.addEventListener('keyup', (event) => {
    down.delete(nameOf(event));
    if (!isMeant || down.size > 0) return;
    isMeant = false;
    setTimeout(leave); // once the desktop has the last key
  }, true);
  window.addEventListener('pointerdown', () => { isMeant = false; }, true);
  window.addEventListener('blur', () => {
    down.clear();
    isMeant = false;
  });
}
