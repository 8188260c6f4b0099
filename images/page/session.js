// The client of a session: shows the remote screen in the whole frame, keeps it connected, and talks with the page that
// embeds it. The messages are described in docs/reference/session-page.md.
import './clipboard.js';
import { start } from './connection.js';
import './control.js';
import './files.js';
import './keyboard.js';
import './microphone.js';
import { listen } from './parent.js';
import './screens.js';
import './stats.js';

start();
listen();
