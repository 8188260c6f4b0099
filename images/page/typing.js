// What is typed into a hidden field, so that input methods, dead keys and the keyboards of phones can compose it: one key is
// passed on as it came, what was composed as text.
export const ENTER = 0xff0d;
export const BACKSPACE = 0xff08;
/** So that a phone's keyboard has something to delete. */
const FILLER = '  ';
const LOCKS = ['CapsLock', 'NumLock', 'ScrollLock', 'AltGraph'];

/**
 * Listen to the field. `pass(kind, key)` gets a key as KeyboardEvent takes it and says whether the browser shall leave it
 * alone; `press(keysym)` and `type(text)` what was composed.
 */
export function takeTyping(field, { pass, press, type }) {
  const down = new Set();
  const empty = () => {
    field.value = FILLER;
    field.setSelectionRange(FILLER.length, FILLER.length);
  };
  const passed = (event) => {
    const { type: kind, key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat } = event;
    const locks = Object.fromEntries(LOCKS.map((name) => [`modifier${name}`, event.getModifierState(name)]));
    if (pass(kind, { key, code, location, ctrlKey, shiftKey, altKey, metaKey, repeat, ...locks })) event.preventDefault();
  };
  field.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229 || ['Dead', 'Process', 'Unidentified'].includes(event.key)) return;
    down.add(event.code);
    passed(event);
  });
  field.addEventListener('keyup', (event) => { if (down.delete(event.code)) passed(event); });
  field.addEventListener('compositionend', ({ data }) => {
    type(data);
    empty();
  });
  field.addEventListener('input', ({ isComposing, inputType, data }) => {
    if (isComposing || inputType === 'insertCompositionText' || inputType === 'insertFromComposition') return;
    if (inputType === 'deleteContentBackward') press(BACKSPACE);
    else if (inputType === 'insertLineBreak' || inputType === 'insertParagraph') press(ENTER);
    else if (data) type(data);
    empty();
  });
  empty();
}
