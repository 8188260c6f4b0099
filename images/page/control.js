// Who controls a session that a program has leased: the program, or one person at a time. It is decided on the server, where
// what others send is dropped; here it is shown, and nothing is sent in vain.
import { leased, watches } from './access.js';
import { connection, rfb } from './connection.js';
import { events } from './events.js';
import { onMessage, tellParent } from './parent.js';

/** What the session calls this viewer. */
let you = '';
let last = { leased: false, term: 0, viewer: '', name: '' };

function holder() {
  if (last.viewer === '') return 'program';
  return last.viewer === you ? 'you' : 'person';
}

function tellControl() {
  if (leased || last.leased) tellParent({ type: 'control', holder: holder(), term: last.term, name: last.name });
}

function apply() {
  if (rfb !== null && (leased || last.leased)) rfb.viewOnly = watches || holder() !== 'you';
}

events.addEventListener('control', ({ detail: { you: name = you, ...control } }) => {
  const had = holder() === 'you';
  [you, last] = [name, control];
  apply();
  if (!had && holder() === 'you') rfb?.focus();
  tellControl();
});
connection.addEventListener('connected', apply);
onMessage('hello', tellControl);
