/** The entry: texts at the top level of modules are translated when a module is loaded, so the language comes first. */

import { activateLanguage } from './language';

void activateLanguage().then(() => import('./start'));
