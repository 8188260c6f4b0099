// A second screen: another window shows what lies to the right of this one's part of the desktop. It has no connection of
// its own: picture, pointer and keys pass between the two windows, so that what this viewer may do holds for both.
import { leased, watches } from './access.js';
import { noteFocus, takeFromComputer } from './clipboard.js';
import { connection, rfb } from './connection.js';
import { pass, press, type } from './keyboard.js';
import { onMessage, tellParent } from './parent.js';

const screen = document.getElementById('screen');
const status = document.getElementById('status');

/** The way to the other window; null = there is none. */
let port = null;
let beside = null;
const pointer = new MutationObserver(tellPointer);

function tellScreens() {
  tellParent({ type: 'screens', count: port === null ? 1 : 2 });
}

function tellPointer() {
  port?.postMessage({ type: 'pointer', css: screen.querySelector('canvas')?.style.cursor ?? '' });
}

function tellState(state) {
  port?.postMessage({ type: 'state', sentence: state === 'connected' ? '' : status.textContent });
}

function open(given) {
  close();
  port = given;
  port.onmessage = ({ data }) => answers[data.type]?.(data);
  tellState(document.documentElement.dataset.state);
  tellScreens();
}

function close() {
  if (port === null) return;
  port.postMessage({ type: 'close' });
  port.close();
  port = beside = null;
  rfb?.extend(null);
  tellScreens();
}

const answers = {
  size({ width, height }) {
    const show = (image, x, y) => port?.postMessage({ type: 'picture', image, x, y }, [image]);
    beside = { width, height, show };
    rfb?.extend(beside);
    tellPointer();
  },
  point: ({ x, y, buttons }) => rfb?.point(x, y, buttons),
  turn: ({ x, y, way }) => rfb?.turn(x, y, way),
  key: ({ kind, key }) => pass(kind, key),
  press: ({ keysym }) => press(keysym),
  text: ({ text }) => type(text),
  async paste({ content }) {
    await takeFromComputer(content);
    port?.postMessage({ type: 'pasted' });
  },
  focus: noteFocus,
};

connection.addEventListener('connecting', () => {
  pointer.disconnect();
  pointer.observe(screen.querySelector('canvas'), { attributeFilter: ['style'] });
  if (beside !== null) rfb.extend(beside);
});
connection.addEventListener('connected', () => { if (watches || leased) close(); });
connection.addEventListener('state', ({ detail }) => tellState(detail));
window.addEventListener('pagehide', close);
onMessage('hello', tellScreens);
onMessage('screen', ({ port: given }) => {
  if (given instanceof MessagePort && !watches && !leased) open(given);
  else close();
});
