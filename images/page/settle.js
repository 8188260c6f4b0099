// When a desktop that was just connected can be shown. A staged one was painted for a window of another size: it is
// resized first, and its programs repaint at their own pace, so the first pictures are torn.
const LOOK_MS = 50;
const STILL_MS = 250;
const WAIT_MAX_MS = 2000;
const [WIDTH, HEIGHT] = [64, 40];

/** Resolves once the picture has the size of `screen`, is painted, and stands still after a resize; or after 2 s. */
export async function settled(screen) {
  const canvas = screen.querySelector('canvas');
  const small = new OffscreenCanvas(WIDTH, HEIGHT).getContext('2d', { willReadFrequently: true });
  const begin = performance.now();
  const needed = fits(canvas, screen) ? 0 : STILL_MS;
  let [last, since] = ['', begin];
  for (let now = begin; now - begin < WAIT_MAX_MS; now = performance.now()) {
    const picture = look(canvas, small);
    if (picture !== last) [last, since] = [picture, now];
    if (picture !== '' && fits(canvas, screen) && now - since >= needed) return;
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
