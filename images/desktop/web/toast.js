// A sentence at the lower edge of the screen, for a while.
const SHOWN_MS = 6000;
const message = document.getElementById('message');

let timer = 0;

export function say(text) {
  clearTimeout(timer);
  message.textContent = text;
  message.hidden = false;
  timer = setTimeout(() => { message.hidden = true; }, SHOWN_MS);
}
