// When a desktop that was just connected can be shown. A staged one was painted for a window of another size and for no
// region: it is resized and gets the clock and names of this browser first, and its programs repaint at their own pace, so
// the first pictures are torn.
import { region } from './region.js';

const LOOK_MS = 50;
const STILL_MS = 250;
const WAIT_MAX_MS = 2000;
const REGION_MAX_MS = 3000;
const [WIDTH, HEIGHT] = [64, 40];

/**
 * Resolves once the picture has the size of `screen`, is painted with the region of this browser, and stands still after a
 * change; or after 2 s, which begin when the region is applied, at the latest after 3 s.
 */
export async function settled(screen) {
  const canvas = screen.querySelector('canvas');
  const small = new OffscreenCanvas(WIDTH, HEIGHT).getContext('2d', { willReadFrequently: true });
  let begin = performance.now();
  let needed = fits(canvas, screen) ? 0 : STILL_MS;
  let hasRegion = false;
  const regionLimit = begin + REGION_MAX_MS;
  let [last, since] = ['', begin];
  region.then((changed) => {
    hasRegion = true;
    const now = performance.now();
    if (changed && now - begin > LOOK_MS) [needed, since, begin] = [STILL_MS, now, now];
  });
  for (let now = begin; now - begin < WAIT_MAX_MS || (!hasRegion && now < regionLimit); now = performance.now()) {
    const picture = look(canvas, small);
    if (picture !== last) [last, since] = [picture, now];
    if (hasRegion && picture !== '' && fits(canvas, screen) && now - since >= needed) return;
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

function fits(canvas, screen) {
  const { width, height } = screen.getBoundingClientRect();
  return canvas.width === Math.floor(width) && canvas.height === Math.floor(height);
}

/** The picture in a few pixels; empty while nothing was painted. */
function look(canvas, small) {
  small.drawImage(canvas, 0, 0, WIDTH, HEIGHT);
  const pixels = small.getImageData(0, 0, WIDTH, HEIGHT).data;
  const isPainted = pixels.some((value, index) => index % 4 < 3 && value > 0);
  return isPainted ? `${canvas.width}x${canvas.height} ${pixels.join()}` : '';
}
