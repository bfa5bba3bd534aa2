// What happens, as it happens: the stream of the daemon, and what is known of it at present.

import { json } from "./data.js";

const SILENT_MS = 15000;
const STATUS_MS = 10000;

/**
 * Emits `product` (detail: {kind, subject, object}), `status` (a new /api/status), `link` (detail: whether the daemon
 * answers) and `again` (it answers again: whoever shows history asks for it anew).
 */
export class Live extends EventTarget {
  constructor() {
    super();
    this.status = null;
    this.connected = false;
    /** When something was last heard (ms), and what the daemon's clock then said it was behind ours (ms). */
    this.heard = 0;
    this.#open();
    setInterval(() => this.#look(), 1000);
    setInterval(() => this.refresh(), STATUS_MS);
  }

  /** The newest object of a kind and subject. */
  newest(kind, subject) {
    const status = this.status;
    if (!status) return null;
    if (kind === "flr") return status.pairs[subject] || null;
    if (kind === "region") return status.regions[subject] || null;
    if (kind === "plasmapause") return status.chains[subject] || null;
    return null;
  }

  async refresh() {
    try {
      this.status = await json("api/status");
    } catch {
      return; // the stream says whether the daemon is there
    }
    this.#tell("status", this.status);
  }

  #open() {
    this.source = new EventSource("api/stream");
    this.source.addEventListener("open", () => this.#hear(true));
    this.source.addEventListener("beat", () => this.#hear(false));
    this.source.addEventListener("product", (event) => this.#take(JSON.parse(event.data)));
    this.source.addEventListener("error", () => {
      this.#lose();
      // The browser tries again by itself, unless the server refused: then it is asked anew.
      if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.#open(), 5000);
    });
  }

  #hear(isNew) {
    this.heard = Date.now();
    const was = this.connected;
    this.connected = true;
    if (!was) this.#tell("link", true);
    if (isNew) {
      this.refresh();
      this.#tell("again", null);
    }
  }

  #lose() {
    if (!this.connected) return;
    this.connected = false;
    this.#tell("link", false);
  }

  #look() {
    if (this.connected && Date.now() - this.heard > SILENT_MS) this.#lose();
  }

  #take(told) {
    this.#hear(false);
    const place = { flr: "pairs", region: "regions", plasmapause: "chains" }[told.kind];
    if (this.status && place && told.subject in this.status[place]) {
      const shown = this.status[place][told.subject];
      if (!shown || Date.parse(shown.time) <= Date.parse(told.object.time)) {
        this.status[place][told.subject] = { ...told.object, stale: false };
      }
    }
    this.#tell("product", told);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
