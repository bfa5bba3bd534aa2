// Which stretch of time a view shows: the last hours up to the newest, or a fixed one that somebody chose.

import { el } from "./dom.js";
import { iso, parsed } from "./text.js";

const HOUR_MS = 3600000;
export const CHOICES = [["6 h", 6], ["24 h", 24], ["3 d", 72], ["7 d", 168]];

export class Span {
  /** From the parameters of an address: `hours` follows the newest, `from` and `to` stand still. */
  constructor(parameters, hours) {
    const [from, to] = [parsed(parameters.get("from")), parsed(parameters.get("to"))];
    this.hours = Number(parameters.get("hours")) || hours;
    if (!(this.hours > 0 && this.hours <= 1488)) this.hours = hours;
    this.fixed = Number.isFinite(from) && Number.isFinite(to) && to > from ? [from, to] : null;
  }

  /** What is shown where the newest time is `newest` (ms). */
  range(newest) {
    return this.fixed || [newest - this.hours * HOUR_MS, newest];
  }

  fix(range) {
    this.fixed = range;
  }

  follow(hours) {
    this.fixed = null;
    this.hours = hours || this.hours;
  }

  parameters() {
    if (this.fixed) return { from: iso(Math.round(this.fixed[0] / 1000) * 1000), to: iso(Math.round(this.fixed[1] / 1000) * 1000) };
    return { hours: String(this.hours) };
  }

  /** Buttons for the usual stretches, and for going back and forth; `changed` is called after each. */
  controls(newest, changed) {
    const shift = (direction) => {
      const [start, stop] = this.range(newest());
      const by = ((stop - start) / 2) * direction;
      this.fix([start + by, stop + by]);
      changed();
    };
    return el(
      "div",
      { class: "span", role: "group", "aria-label": "Time range" },
      el("button", { type: "button", "aria-label": "Earlier", onclick: () => shift(-1) }, "◀"),
      CHOICES.map(([text, hours]) =>
        el(
          "button",
          {
            type: "button",
            "aria-pressed": String(!this.fixed && this.hours === hours),
            onclick: () => {
              this.follow(hours);
              changed();
            },
          },
          text,
        ),
      ),
      el("button", { type: "button", "aria-label": "Later", onclick: () => shift(1) }, "▶"),
    );
  }
}
