// What the views of one subject have in common: its choice, its span, a readout, and fetching anew when it moves on.

import { el, refill } from "./dom.js";
import { Panels } from "./plot.js";
import { Span } from "./span.js";
import { newestTime } from "./now.js";
import { parsed } from "./text.js";

const PATIENCE_MS = 2500;

/** Base of the views of a pair or a spacecraft. */
export class SubjectView {
  /**
   * @param names the subjects there are
   * @param what in words: "Pair", "Spacecraft"
   * @param hours that are shown at first
   */
  constructor(root, parameters, live, { kind, names, what, hours, navigate }) {
    Object.assign(this, { live, kind, navigate });
    this.subject = parameters.subject && names.includes(parameters.subject) ? parameters.subject : names[0];
    this.span = new Span(parameters.query, hours);
    this.head = el("div", { class: "bar" });
    this.readout = el("p", { class: "readout" });
    this.note = el("p", { class: "note", role: "alert" });
    this.place = el("div", { class: "panels" });
    this.aside = el("div", { class: "aside" });
    refill(root, this.head, this.note, this.readout, this.place, this.aside);
    if (!this.subject) {
      refill(this.note, parameters.subject ? `There is no ${what.toLowerCase()} ${parameters.subject} here.` : `No ${what.toLowerCase()} is configured.`);
      return;
    }
    this.names = names;
    this.what = what;
    if (parameters.subject && parameters.subject !== this.subject) refill(this.note, `There is no ${what.toLowerCase()} ${parameters.subject} here; this is ${this.subject}.`);
    this.panels = new Panels(this.place, (range) => this.zoom(range), (at) => this.point(at));
    this.drawHead();
    this.point(null);
    this.load();
  }

  title() {
    return this.subject || this.what || "";
  }

  /** The newest time of which the daemon speaks for this subject (ms). */
  newest() {
    const object = this.live.newest(this.kind, this.subject);
    const own = object ? parsed(object.time) : NaN;
    return Number.isFinite(own) ? own : newestTime(this.live.status) || Date.now();
  }

  range() {
    return this.span.range(this.newest());
  }

  drawHead() {
    const choice = el(
      "select",
      { "aria-label": this.what, onchange: (event) => this.navigate(this.kind, event.target.value, this.span.parameters()) },
      this.names.map((name) => el("option", { value: name, selected: name === this.subject }, name)),
    );
    refill(
      this.head,
      choice,
      this.span.controls(() => this.newest(), () => this.moved()),
      el("button", { type: "button", onclick: () => this.savePicture() }, "PNG"),
      this.tables().map(([text, make]) => el("button", { type: "button", onclick: make }, text)),
    );
  }

  moved() {
    this.navigate(this.kind, this.subject, this.span.parameters(), true);
    this.drawHead();
    this.load();
  }

  zoom(range) {
    if (range) this.span.fix(range);
    else this.span.follow();
    this.moved();
  }

  onStatus() {
    this.drawState();
  }

  onAgain() {
    if (this.panels) this.load();
  }

  onProduct({ kind, subject }) {
    if (!this.panels || subject !== this.subject || !this.follows(kind) || this.due) return;
    this.due = setTimeout(() => {
      this.due = null;
      this.load();
    }, PATIENCE_MS);
  }

  follows(kind) {
    return kind === this.kind && !this.span.fixed;
  }

  /** Fetch and draw; of several that are asked for at once only the last is drawn. */
  async load() {
    if (this.abort) this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const [start, stop] = this.range();
    try {
      const found = await this.fetched(start, stop, signal);
      if (signal.aborted) return;
      const began = performance.now();
      this.panels.setRange(start, stop);
      this.drawn(found, start, stop);
      this.drawState();
      tellDrawn(this.subject, began);
      if (this.failed) refill(this.note);
      this.failed = false;
    } catch (error) {
      if (signal.aborted) return;
      this.failed = true;
      refill(this.note, `The history cannot be had: ${error.message}. What is shown may be old.`);
    }
  }

  destroy() {
    clearTimeout(this.due);
    if (this.abort) this.abort.abort();
    if (this.panels) this.panels.destroy();
  }
}

/** Say on the page what was drawn and how long it took, up to the frame that shows it: whoever measures reads it. */
function tellDrawn(subject, began) {
  requestAnimationFrame(() =>
    setTimeout(() => {
      document.documentElement.dataset.drawn = `${subject} ${(performance.now() - began).toFixed(1)}`;
    }),
  );
}
