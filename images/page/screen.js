// The remote screen: noVNC, whose picture can be left to another painter, and can have a part beside it that another window
// shows. Input, pointer, clipboard and the size of the screen stay with it, and the server sends it no picture that is not
// shown.
import RFB from '@novnc/novnc';

const RESIZE_EVERY_MS = 100;
const SET_DESKTOP_SIZE = 251;

export class Screen extends RFB {
  constructor(target, socket) {
    super(target, socket);
    this._cursor._canvas.ariaHidden = 'true'; // on touch screens, the pointer is a picture at the end of the page
    this.bytes = 0;
    this.updates = 0;
    socket.addEventListener('message', ({ data }) => { this.bytes += data.byteLength ?? 0; });
    this.isPainter = true;
    /** The part that another window shows: `{ width, height, show(image, x, y) }`; null = there is none. */
    this.beside = null;
    /** How far to the right it begins. */
    this.split = 0;
    this.asked = '';
    this.beyond = 0;
    const { _display: display } = this;
    const flip = display.flip.bind(display);
    display.flip = (fromQueue) => {
      if (!this.isPainter) return;
      const [changed, waits] = [{ ...display._damageBounds }, display._renderQ.length !== 0 && !fromQueue];
      flip(fromQueue);
      if (!waits) this._showBeside(changed);
    };
  }

  /** Leave the picture to another painter, or take it back. */
  paint(isPainter) {
    if (isPainter === this.isPainter) return;
    this.isPainter = isPainter;
    this._updateContinuousUpdates();
    if (isPainter) RFB.messages.fbUpdateRequest(this._sock, false, 0, 0, this._fbWidth, this._fbHeight);
  }

  /** Another painter has this picture for the row from which it reaches over the whole screen. */
  painted(frame, row) {
    this.beside?.show(frame.clone(), -this.split, row);
  }

  /** Have a second part beside this window's, or, with null, none. */
  extend(beside) {
    const had = this.beside !== null;
    this.beside = beside;
    this.asked = '';
    this.scaleViewport = beside === null;
    this.clipViewport = beside !== null;
    this._requestRemoteResize();
    if (had) this._showBeside({ left: 0, top: 0, right: this._fbWidth, bottom: this._fbHeight });
  }

  /** The pointer is at this place of the second part; `buttons` as the browser counts them. */
  point(x, y, buttons) {
    const limited = (value, most) => Math.max(0, Math.min(most - 1, Math.round(value)));
    this._sendPart(limited(this.split + x, this._fbWidth), limited(y, this._fbHeight), RFB._convertButtonMask(buttons));
  }

  /** The wheel was turned there by one step: 3 up, 4 down, 5 left, 6 right. */
  turn(x, y, way) {
    this._sendPart(this.split + x, y, 1 << way);
    this._sendPart(this.split + x, y, 0);
  }

  _sendPart(x, y, mask) {
    if (this._rfbConnectionState === 'connected' && !this._viewOnly) RFB.messages.pointerEvent(this._sock, x, y, mask);
  }

  /** What is dragged beyond the right edge goes on in the second part. */
  _handleMouse(event) {
    this.beyond = Math.max(0, event.clientX - this._canvas.getBoundingClientRect().right);
    super._handleMouse(event);
  }

  _sendMouse(x, y, mask) {
    super._sendMouse(this.beside !== null && mask !== 0 ? x + this.beyond : x, y, mask);
  }

  _showBeside({ left, top, right, bottom }) {
    const x = Math.max(left, this.split);
    const [width, height] = [Math.min(right, this._fbWidth) - x, Math.min(bottom, this._fbHeight) - top];
    if (this.beside === null || width <= 0 || height <= 0) return;
    const part = new OffscreenCanvas(width, height);
    part.getContext('2d').drawImage(this._display._backbuffer, x, top, width, height, 0, 0, width, height);
    this.beside.show(part.transferToImageBitmap(), x - this.split, top);
  }

  /** Two parts are two monitors of the session; each is asked for once, so that two viewers do not pull at it. */
  _requestRemoteResize() {
    if (this.beside === null) {
      super._requestRemoteResize();
      return;
    }
    if (!this._resizeSession || this._viewOnly || !this._supportsSetDesktopSize || this._pendingRemoteResize) return;
    clearTimeout(this._resizeTimeout);
    const left_ms = this._lastResize + RESIZE_EVERY_MS - Date.now();
    if (left_ms > 0) {
      this._resizeTimeout = setTimeout(() => this._requestRemoteResize(), left_ms);
      return;
    }
    const { w, h } = this._screenSize();
    const [width, height] = [Math.floor(w), Math.floor(h)];
    const wanted = [width, height, this.beside.width, this.beside.height].join();
    if (wanted === this.asked) return;
    this.asked = wanted;
    this.split = width;
    this._pendingRemoteResize = true;
    this._lastResize = Date.now();
    this._askForMonitors([
      { id: this._screenID, x: 0, width, height, flags: this._screenFlags },
      { id: this._screenID + 1, x: width, width: this.beside.width, height: this.beside.height, flags: 0 },
    ]);
  }

  _askForMonitors(monitors) {
    const sock = this._sock;
    sock.sQpush8(SET_DESKTOP_SIZE);
    sock.sQpush8(0);
    sock.sQpush16(Math.max(...monitors.map(({ x, width }) => x + width)));
    sock.sQpush16(Math.max(...monitors.map(({ height }) => height)));
    sock.sQpush8(monitors.length);
    sock.sQpush8(0);
    for (const { id, x, width, height, flags } of monitors) {
      sock.sQpush32(id);
      for (const value of [x, 0, width, height]) sock.sQpush16(value);
      sock.sQpush32(flags);
    }
    sock.flush();
  }

  _resize(width, height) {
    super._resize(width, height);
    this._showBeside({ left: 0, top: 0, right: width, bottom: height });
  }

  _updateContinuousUpdates() {
    if (this.isPainter) super._updateContinuousUpdates();
    // Of an empty part the server sends what is no picture: the pointer, the size.
    else if (this._enabledContinuousUpdates) RFB.messages.enableContinuousUpdates(this._sock, true, 0, 0, 0, 0);
  }

  _framebufferUpdate() {
    const isComplete = super._framebufferUpdate();
    if (isComplete) this.updates += 1;
    return isComplete;
  }
}
