// The window of a second screen: shows what the first one sends of the picture (screens.js), and sends it pointer and keys.
import { listen, onMessage, tellParent } from './parent.js';
import './texts.js';
import { takeTyping, takeWayOut } from './typing.js';

const WHEEL_STEP = 50;
const WHEEL_LINE = 19;
const [UP, DOWN, LEFT, RIGHT] = [3, 4, 5, 6];

const picture = document.getElementById('picture');
const context = picture.getContext('2d');
const field = document.getElementById('typed');
const notice = document.getElementById('notice');
const status = document.getElementById('status');

let port = null;
let turned = { x: 0, y: 0 };
/** Called once the first window has sent what was pasted here. */
let pasted = null;
/** Keys that are down, to be let go when the window loses them. */
const down = new Map();

function say(message) {
  port?.postMessage(message);
}

function tellSize() {
  const [width, height] = [window.innerWidth, window.innerHeight];
  if (width === 0 || height === 0) return;
  Object.assign(picture, { width, height });
  say({ type: 'size', width, height });
}

const answers = {
  picture({ image, x, y }) {
    context.drawImage(image, x, y);
    image.close();
    document.documentElement.dataset.painted = 'true';
  },
  pointer: ({ css }) => { picture.style.cursor = css; },
  state({ sentence }) {
    notice.hidden = sentence === '';
    status.textContent = sentence;
  },
  pasted: () => pasted?.(),
  close: () => tellParent({ type: 'closed' }),
};

onMessage('screen', ({ port: given }) => {
  if (!(given instanceof MessagePort)) return;
  port = given;
  port.onmessage = ({ data }) => answers[data.type]?.(data);
  tellSize();
  field.focus();
});

// --- The pointer ----------------------------------------------------------------------------------------------------
function point({ clientX: x, clientY: y, buttons }) {
  say({ type: 'point', x, y, buttons });
}

picture.addEventListener('pointerdown', (event) => {
  picture.setPointerCapture(event.pointerId);
  Object.assign(field.style, { left: `${event.clientX}px`, top: `${event.clientY}px` });
  field.focus({ preventScroll: true });
  point(event);
  event.preventDefault();
});
for (const kind of ['pointermove', 'pointerup']) picture.addEventListener(kind, point);
picture.addEventListener('mousedown', (event) => event.preventDefault()); // the field keeps the focus
picture.addEventListener('contextmenu', (event) => event.preventDefault());
picture.addEventListener('wheel', (event) => {
  event.preventDefault();
  const scale = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : WHEEL_LINE;
  turned = { x: turned.x + event.deltaX * scale, y: turned.y + event.deltaY * scale };
  const { clientX: x, clientY: y } = event;
  for (const [along, less, more] of [['y', UP, DOWN], ['x', LEFT, RIGHT]]) {
    for (; Math.abs(turned[along]) >= WHEEL_STEP; turned[along] -= Math.sign(turned[along]) * WHEEL_STEP) {
      say({ type: 'turn', x, y, way: turned[along] < 0 ? less : more });
    }
  }
}, { passive: false });

// --- Keys -----------------------------------------------------------------------------------------------------------
takeTyping(field, {
  pass(kind, key) {
    if (kind === 'keydown') down.set(key.code, key);
    else down.delete(key.code);
    say({ type: 'key', kind, key });
    return true;
  },
  press: (keysym) => say({ type: 'press', keysym }),
  type: (text) => say({ type: 'text', text }),
  paste: (content) => new Promise((done) => {
    pasted = done;
    say({ type: 'paste', content });
  }),
});
takeWayOut(() => tellParent({ type: 'menu', pressed: true }));
window.addEventListener('blur', () => {
  for (const key of down.values()) say({ type: 'key', kind: 'keyup', key });
  down.clear();
  say({ type: 'focus' });
});
window.addEventListener('focus', () => {
  field.focus({ preventScroll: true });
  say({ type: 'focus' });
});
window.addEventListener('resize', tellSize);
listen();
