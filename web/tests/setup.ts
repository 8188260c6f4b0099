/** What the modules under test take from a browser; they need no document. */

import { i18n } from '@lingui/core';

globalThis.location = { origin: 'https://greenroom.test', search: '' } as Location;
globalThis.window = new EventTarget() as Window & typeof globalThis;

i18n.loadAndActivate({ locale: 'en', messages: {} });
