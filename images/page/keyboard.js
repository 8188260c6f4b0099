// The keyboard, and keys that a browser cannot pass on.
import { rfb } from './connection.js';
import { onMessage } from './parent.js';

onMessage('focus', () => rfb?.focus());
onMessage('keys', ({ keys }) => { if (keys === 'ctrl-alt-delete') rfb?.sendCtrlAltDel(); });
