/** What the modules under test take from a browser; they need no document. */

globalThis.location = { origin: 'https://greenroom.test', search: '' } as Location;
globalThis.window = new EventTarget() as Window & typeof globalThis;
