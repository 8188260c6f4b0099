// A websocket for sound that is there as long as it is wanted, and comes back by itself.
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5000;

/** What this viewer may have and why not: { sound: { allowed, reason }, microphone: … }; null while it is not known. */
export async function permissions() {
  try {
    const answer = await fetch('sound', { cache: 'no-store' });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

export class Line {
  /** `take` gets each message; `changed` is called when it opens or is lost, `refused` with the reason. */
  constructor(name, { take = () => {}, changed = () => {}, refused = () => {} }) {
    Object.assign(this, { name, take, changed, refused, socket: null, timer: 0, attempt: 0, isWanted: false });
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    this.isWanted = true;
    if (this.socket === null) this.connect();
  }

  close() {
    this.isWanted = false;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
  }

  connect() {
    clearTimeout(this.timer);
    const address = new URL(this.name, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const socket = this.socket = new WebSocket(address);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => {
      this.attempt = 0;
      this.changed();
    });
    socket.addEventListener('message', ({ data }) => this.take(data));
    socket.addEventListener('close', () => { if (socket === this.socket) this.again(); });
  }

  /** A websocket that is refused gives a script no reason; the address itself answers with it. */
  async again() {
    this.changed();
    const may = (await permissions())?.[this.name];
    if (!this.isWanted) return;
    this.socket = null;
    if (may && !may.allowed) {
      this.close();
      this.refused(may.reason);
      return;
    }
    this.attempt += 1;
    this.timer = setTimeout(() => this.connect(), Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.attempt - 1)));
  }

  /** False where the network is so far behind that it is better left out. */
  send(data) {
    const inTime = this.isOpen && this.socket.bufferedAmount < 4096;
    if (inTime) this.socket.send(data);
    return inTime;
  }
}
