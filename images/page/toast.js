// A sentence at the lower edge of the screen, for a while; with buttons, `[{ label, act }]` or `[{ label, href }]`, longer. A button
// hides it once its `act` is done, or its promise. What `say` returns hides it.
import { t } from './texts.js';

const SHOWN_MS = 6000;
const SHOWN_WITH_BUTTONS_MS = 20000;
const message = document.getElementById('message');

let timer = 0;

export function say(text, buttons = []) {
  clearTimeout(timer);
  const sentence = document.createElement('span');
  const hide = () => { if (sentence.isConnected) message.hidden = true; };
  sentence.textContent = text;
  const all = buttons.length > 0 ? [...buttons, { label: '✕', name: t('Close'), act() {} }] : [];
  message.replaceChildren(sentence, ...all.map(({ label, name, act, href, download }) => {
    const button = document.createElement(href ? 'a' : 'button');
    button.textContent = label;
    if (name) button.ariaLabel = name;
    if (href) Object.assign(button, { href, ...(download ? { download } : { target: '_blank', rel: 'noopener' }) });
    else button.type = 'button';
    button.addEventListener('click', async () => {
      await act?.();
      hide();
    });
    return button;
  }));
  message.hidden = false;
  timer = setTimeout(hide, buttons.length > 0 ? SHOWN_WITH_BUTTONS_MS : SHOWN_MS);
  return hide;
}
