// The page around this one. Who may embed the session is decided by the gateway (frame-ancestors). Nothing but "ready"
// is said before the parent said hello; from then on messages go to that origin alone.
const PROTOCOL = 1;

let parentOrigin = null;
const answers = { hello: [] };

export function tellParent(message) {
  if (parentOrigin !== null) window.parent.postMessage({ greenroom: PROTOCOL, ...message }, parentOrigin);
}

/** What is done when the parent sends a message of this type; several modules may have something to say to `hello`. */
export function onMessage(type, answer) {
  (answers[type] ??= []).push(answer);
}

/** Say that the page listens; after every module has said what it does with which message. */
export function listen() {
  window.addEventListener('message', (event) => {
    if (window.parent === window || event.source !== window.parent || event.data?.greenroom !== PROTOCOL) return;
    const { type } = event.data;
    if (type === 'hello') parentOrigin = event.origin;
    if (event.origin !== parentOrigin || !Object.hasOwn(answers, type)) return;
    for (const answer of answers[type]) answer(event.data);
  });
  if (window.parent !== window) window.parent.postMessage({ greenroom: PROTOCOL, type: 'ready' }, '*');
}
