// The remote screen: noVNC, whose picture can be left to another painter. Input, pointer, clipboard and the size of the
// screen stay with it then, and the server sends it no picture that is not shown.
import RFB from '@novnc/novnc';

export class Screen extends RFB {
  constructor(target, socket) {
    super(target, socket);
    this.bytes = 0;
    this.updates = 0;
    socket.addEventListener('message', ({ data }) => { this.bytes += data.byteLength ?? 0; });
    this.isPainter = true;
    const flip = this._display.flip.bind(this._display);
    this._display.flip = (fromQueue) => { if (this.isPainter) flip(fromQueue); };
  }

  /** Leave the picture to another painter, or take it back. */
  paint(isPainter) {
    if (isPainter === this.isPainter) return;
    this.isPainter = isPainter;
    this._updateContinuousUpdates();
    if (isPainter) RFB.messages.fbUpdateRequest(this._sock, false, 0, 0, this._fbWidth, this._fbHeight);
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
