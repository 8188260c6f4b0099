// What the picture costs and how fast it is, said once a second while the page is visible.
import { tellParent } from './parent.js';
import { picture } from './video.js';

const EVERY_MS = 1000;

let last = { of: null };
let at = 0;

setInterval(() => {
  const [now, at_before, before] = [picture(), at, last];
  [last, at] = [now, performance.now()];
  if (document.hidden || now.of === null || now.of !== before.of) return;
  const seconds = (at - at_before) / 1000;
  tellParent({
    type: 'stats',
    kind: now.kind,
    kbit_s: Math.round((now.bytes - before.bytes) * 8 / 1000 / seconds),
    frames_s: Math.round((now.frames - before.frames) / seconds),
    latency_ms: now.latencyMs,
  });
}, EVERY_MS);
