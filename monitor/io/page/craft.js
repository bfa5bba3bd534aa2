// Spacecraft: what was measured, the label strip, probabilities, quality, and the class activation map under the cursor.

import { hapi, samples } from "./data.js";
import { color, el, refill } from "./dom.js";
import { badge, REGION_NAMES, REGIONS, shade } from "./labels.js";
import { csv, edges, joined, paintShares, paintStrip, save, savePicture } from "./plot.js";
import { SubjectView } from "./subject.js";
import { iso, number, parsed, percent, when } from "./text.js";

const COLUMNS = ["label", "stage_one", "probability", "confidence", "quality", "missing", "flags", "revision"];
const POINTS = 1200;
const DAY_MS = 86400000;
const MEASURED = [
  { name: "field", title: "Magnetic field (Bx ──, By ╌╌, Bz ┈┈, |B| bold)", unit: "nT", parts: ["Bx", "By", "Bz", "B"] },
  { name: "number", title: "Ion density", unit: "cm⁻³", parts: ["N"], log: true },
  { name: "velocity", title: "Ion velocity (Vx ──, Vy ╌╌, Vz ┈┈, |V| bold)", unit: "km/s", parts: ["Vx", "Vy", "Vz", "V"] },
  { name: "temperature", title: "Ion temperature (parallel ──, perpendicular ╌╌, total bold)", unit: "eV", parts: ["Tpar", "Tperp", "T"], log: true },
];
const STYLES = {
  Bx: ["x", []], By: ["y", [5, 4]], Bz: ["z", [1.5, 3]], B: ["ink", []],
  Vx: ["x", []], Vy: ["y", [5, 4]], Vz: ["z", [1.5, 3]], V: ["ink", []],
  N: ["ink", []], Tpar: ["x", []], Tperp: ["y", [5, 4]], T: ["ink", []],
};

export class CraftView extends SubjectView {
  constructor(root, parameters, live, navigate) {
    const names = live.status ? Object.keys(live.status.regions) : [];
    super(root, parameters, live, { kind: "region", names, what: "Spacecraft", hours: 6, navigate });
    this.maps = new Map();
  }

  tables() {
    return [
      ["CSV labels", () => this.saveLabels()],
      ["CSV measured", () => this.saveMeasured()],
    ];
  }

  async fetched(start, stop, signal) {
    const [measured, labels] = await Promise.all([
      samples(this.subject, start, stop, POINTS, signal),
      // A year of labels would be a hundred thousand: of long spans the probabilities stay away.
      hapi(`${this.subject}/region`, stop - start > 8 * DAY_MS ? ["label", "quality"] : COLUMNS, start, stop + 600000, signal),
    ]);
    return { measured, labels };
  }

  drawn({ measured, labels }, start, stop) {
    const newest = this.live.newest("region", this.subject);
    this.length = ((newest && newest.window_s) || 180) * 1000;
    Object.assign(this, { measured, labels: labels || { Time: [], label: [], quality: [] } });
    this.hop = hopOf(this.labels.Time, this.length);
    const theme = document.documentElement.dataset.shown;
    this.drawLabels(theme, start, stop);
    const axis = this.axis();
    for (const panel of MEASURED) {
      const parts = panel.parts.filter((part) => measured.components[part]);
      const data = [axis, ...parts.map((part) => measured.components[part].map((value) => (panel.log && !(value > 0) ? null : value)))];
      if (!parts.length) {
        this.panels.remove(panel.name);
        continue;
      }
      this.panels.draw(panel.name, data, {
        title: panel.title,
        unit: panel.unit,
        height: panel.name === "temperature" ? 176 : 140,
        times: panel.name === "temperature",
        log: panel.log,
        series: parts.map((part) => ({ stroke: color(STYLES[part][0]), dash: STYLES[part][1], width: STYLES[part][0] === "ink" ? 2 : 1.2, points: { show: false }, spanGaps: false })),
        range: panel.log ? (_plot, low, high) => [10 ** Math.floor(Math.log10(low || 1)), 10 ** Math.ceil(Math.log10(high || 10))] : undefined,
        behind: (plot) => this.shadeWindow(plot),
        signature: `${theme}-${parts.join()}`,
      });
    }
    this.drawMap();
  }

  axis() {
    const { start_s, step_s, components } = this.measured;
    const count = Object.values(components)[0]?.length || 0;
    return Array.from({ length: count }, (_, place) => start_s + (place + 0.5) * step_s);
  }

  windows() {
    return this.labels.Time.map((end, row) => ({ row, start: end - this.hop, stop: end }));
  }

  drawLabels(theme, start, stop) {
    const ends = [[start / 1000, stop / 1000], [null, null]];
    const strip = { unit: "", series: [{ show: false }], range: () => [0, 1], ticks: [], signature: theme };
    this.panels.draw("label", ends, { ...strip, title: "Region", height: 84, times: true, under: (plot) => paintStrip(plot, this.stretches()) });
    this.panels.draw("probability", ends, {
      ...strip,
      title: "Probabilities",
      height: 120,
      ticks: [0, 0.5, 1],
      under: (plot) => paintShares(plot, this.windows().map((window) => ({ ...window, shares: this.labels.probability?.[window.row] })), REGIONS.map((region) => color(shade(region)))),
    });
    this.panels.draw("quality", ends, {
      ...strip,
      title: "Quality (full: good, half: uncertain, low: poor)",
      height: 44,
      under: (plot) => this.paintQuality(plot),
    });
  }

  paintQuality(plot) {
    const heights = { good: 1, uncertain: 0.5, poor: 0.2 };
    const fills = { good: color("good"), uncertain: color("warn"), poor: color("bad") };
    for (const { row, start, stop } of this.windows()) {
      const quality = this.labels.quality[row];
      if (!(quality in heights)) continue;
      const [left, right] = edges(plot, start, stop);
      const [top, bottom] = [heights[quality], 0].map((value) => plot.valToPos(value, "y", true));
      plot.ctx.fillStyle = fills[quality];
      plot.ctx.fillRect(left, top, Math.max(1, right - left), bottom - top);
    }
  }

  stretches() {
    return joined(this.windows().map(({ row, start, stop }) => ({ start, stop, text: this.labels.label[row] })), (region) => color(shade(region)));
  }

  /** The class activation map of the window under the cursor, behind the measurements: the darker, the more it counted. */
  shadeWindow(plot) {
    if (!this.shown) return;
    const { ctx, bbox } = plot;
    const { start, stop, map } = this.shown;
    const span = (stop - start) / map.length;
    ctx.fillStyle = color("cam");
    map.forEach((weight, cell) => {
      if (!(weight > 0)) return;
      const [left, right] = [start + cell * span, start + (cell + 1) * span].map((time) => plot.valToPos(time / 1000, "x", true));
      ctx.globalAlpha = 0.6 * Math.min(1, weight);
      ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
    });
    ctx.globalAlpha = 1;
  }

  point(at) {
    if (!at || !this.labels) return refill(this.readout, "Point at a panel for exact values and the class activation map; drag to zoom, double-click to go back.");
    const row = this.labels.Time.findIndex((end) => at.time <= end && at.time > end - this.hop);
    const said = [el("strong", {}, `${when(at.time, true)} UT`)];
    const { start_s, step_s, components } = this.measured;
    const cell = Math.floor((at.time / 1000 - start_s) / step_s);
    said.push(` ${Object.entries(components).map(([name, values]) => `${name} ${number(values[cell])}`).join(", ")}`);
    if (row >= 0) {
      said.push(" · ", badge(this.labels.label[row]), ` ${percent(this.labels.confidence?.[row])} · quality ${this.labels.quality[row] || "–"}`);
      if (this.labels.missing?.[row] && this.labels.missing[row] !== "none") said.push(` · missing ${this.labels.missing[row]}`);
      this.showMap(row);
    }
    return refill(this.readout, said);
  }

  async showMap(row) {
    const end = this.labels.Time[row];
    if (this.pointed === end) return;
    this.pointed = end;
    if (!this.maps.has(end)) {
      const found = await hapi(`${this.subject}/region`, ["cam"], end, end + 1000, this.abort.signal).catch(() => null);
      if (!found || !found.cam.length) return;
      this.maps.set(end, found.cam[0]);
    }
    if (this.pointed !== end) return;
    const map = this.maps.get(end);
    this.shown = map && map.some(Number.isFinite) ? { start: end - this.length, stop: end, map, label: this.labels.label[row] } : null;
    for (const { plot } of this.panels.plots.values()) plot.redraw(false);
    this.drawMap();
  }

  drawMap() {
    const legend = REGIONS.map((region) => el("span", { class: `badge ${shade(region)}`, title: REGION_NAMES[region] }, region));
    const map = this.shown
      ? el(
          "figure",
          { class: "cam" },
          el("figcaption", {}, `What counted for ${this.shown.label || "the label"}, ${when(this.shown.start, true)} – ${when(this.shown.stop, true).slice(11)} UT (class activation map, cells of 4.5 s)`),
          el(
            "div",
            { class: "cells", role: "img", "aria-label": `largest ${number(Math.max(...this.shown.map.filter(Number.isFinite)))}` },
            this.shown.map.map((weight) => {
              const cell = el("i", { title: number(weight) });
              cell.style.setProperty("--weight", String(Number.isFinite(weight) ? weight : 0));
              return cell;
            }),
          ),
        )
      : null;
    refill(this.aside, el("p", { class: "legends" }, legend), map);
  }

  drawState() {
    const object = this.live.newest("region", this.subject);
    this.place.classList.toggle("stale", Boolean(object && object.stale));
    if (object && object.stale) refill(this.note, `Stale: nothing new of ${this.subject} since ${when(parsed(object.time))} UT.`);
    else if (!this.failed) refill(this.note);
  }

  savePicture() {
    const [start, stop] = this.range();
    savePicture(`${this.subject}_${iso(start).slice(0, 16)}.png`, this.panels.picture(`${this.subject}   ${when(start)} – ${when(stop)} UT`));
  }

  saveLabels() {
    const heads = ["time", "label", "confidence", "quality", ...REGIONS.map((region) => `p_${region}`), "flags"];
    const rows = this.labels.Time.map((end, row) => [
      iso(end), this.labels.label[row], this.labels.confidence?.[row], this.labels.quality[row],
      ...REGIONS.map((_, place) => this.labels.probability?.[row]?.[place]), this.labels.flags?.[row],
    ]);
    save(`${this.subject}_regions.csv`, new Blob([csv(heads, rows)], { type: "text/csv" }));
  }

  saveMeasured() {
    const names = Object.keys(this.measured.components);
    const rows = this.axis().map((seconds, cell) => [iso(Math.round(seconds * 1000)), ...names.map((name) => this.measured.components[name][cell])]);
    save(`${this.subject}_measured.csv`, new Blob([csv(["time", ...names], rows)], { type: "text/csv" }));
  }
}

function hopOf(times, length) {
  let shortest = length;
  for (let place = 1; place < times.length; place++) if (times[place] > times[place - 1]) shortest = Math.min(shortest, times[place] - times[place - 1]);
  return shortest;
}
