// Pair: the dynamic cross-phase spectrogram with what was read in it, and what is known of each window.

import { hapi, spectra } from "./data.js";
import { color, el, refill } from "./dom.js";
import { badge, CLASSES, shade } from "./labels.js";
import { csv, edges, joined, paintShares, paintStrip, save, savePicture } from "./plot.js";
import { KINDS, scaleBar, Spectrogram, valuesAt } from "./spectrogram.js";
import { SubjectView } from "./subject.js";
import { interval, iso, number, parsed, percent, when } from "./text.js";

const HOUR_MS = 3600000;
const COLUMNS = [
  "label", "probability", "stage_one", "frequency_mHz", "frequency_interval_mHz", "physical_frequency_mHz",
  "physical_sigma_mHz", "physical_cross_phase_deg", "physical_coherence", "physical_agrees", "coverage", "flags", "revision",
];
const DENSITY = ["rho", "rho_interval", "harmonic"];
const TOP_MHZ = [20, 40, 60, 100];

export class PairView extends SubjectView {
  constructor(root, parameters, live, navigate) {
    const names = live.status ? Object.keys(live.status.pairs) : [];
    super(root, parameters, live, { kind: "flr", names, what: "Pair", hours: 24, navigate });
  }

  tables() {
    return [
      ["CSV windows", () => this.saveWindows()],
      ["CSV spectra", () => this.saveSpectra()],
    ];
  }

  get top() {
    return this.topChoice || TOP_MHZ[2];
  }

  async fetched(start, stop, signal) {
    // A window that ends a little later speaks for a time that is shown.
    const [from, to] = [start, stop + 2 * HOUR_MS];
    const [waves, labels, density] = await Promise.all([
      spectra(this.subject, from, to, signal),
      hapi(`${this.subject}/flr`, COLUMNS, from, to, signal),
      hapi(`${this.subject}/density`, DENSITY, from, to, signal),
    ]);
    return { waves, labels, density };
  }

  drawn({ waves, labels, density }, start, stop) {
    const newest = this.live.newest("flr", this.subject);
    this.length = ((newest && newest.window_s) || 7200) * 1000;
    this.cadence = cadenceOf(labels ? labels.Time : waves.times);
    Object.assign(this, { waves, labels: labels || { Time: [] }, density: density || { Time: [] } });
    const theme = document.documentElement.dataset.shown;
    for (const [name, title] of [["phase", "Cross-phase (equatorward − poleward)"], ["ratio", "Amplitude ratio (equatorward / poleward)"], ["coherence", "Coherence"]]) {
      const image = new Spectrogram(waves, name, this.cadence, this.length, theme);
      this.panels.draw(name, [[start / 1000, stop / 1000], [null, null]], {
        title,
        unit: "mHz",
        height: name === "phase" ? 320 : 110,
        times: name === "phase",
        across: true,
        series: [{ show: false }],
        range: () => [0, this.top],
        under: (plot) => image.paint(plot),
        over: (plot) => this.paintReadings(plot, name === "phase"),
        signature: `${theme}-${this.top}`,
      });
    }
    this.drawStrips(theme, start, stop);
    this.drawDensity(theme, start, stop);
    this.drawAside(theme);
  }

  windows() {
    return this.labels.Time.map((end, row) => ({ row, start: end - this.length / 2 - this.cadence / 2, stop: end - this.length / 2 + this.cadence / 2 }));
  }

  drawStrips(theme, start, stop) {
    const fills = CLASSES.map((label) => color(shade(label)));
    const ends = [[start / 1000, stop / 1000], [null, null]];
    this.panels.draw("label", ends, {
      title: "Label",
      unit: "",
      height: 44,
      series: [{ show: false }],
      range: () => [0, 1],
      ticks: [],
      under: (plot) =>
        paintStrip(plot, joined(this.windows().map(({ row, start: from, stop: to }) => ({ start: from, stop: to, text: this.labels.label[row] })), (label) => color(shade(label)))),
      signature: theme,
    });
    this.panels.draw("probability", ends, {
      title: `Class probabilities (${CLASSES.join(", ")} from below)`,
      unit: "",
      height: 84,
      series: [{ show: false }],
      range: () => [0, 1],
      ticks: [0, 0.5, 1],
      under: (plot) => paintShares(plot, this.windows().map((window) => ({ ...window, shares: inOrder(this.labels.probability[window.row]) })), fills),
      signature: theme,
    });
    const [poleward, equatorward] = this.subject.split("-");
    const covers = this.labels.Time.map((end) => (end - this.length / 2) / 1000);
    this.panels.draw("coverage", [covers, this.column("coverage", 0), this.column("coverage", 1)], {
      title: `Coverage (${poleward} ──, ${equatorward} ╌╌; a mark below: flags)`,
      unit: "",
      height: 76,
      series: [
        { stroke: color("accent"), width: 1.5, points: { size: 4 } },
        { stroke: color("pbl"), width: 1.5, dash: [5, 4], points: { size: 4 } },
      ],
      range: () => [0, 1.05],
      ticks: [0, 0.5, 1],
      over: (plot) => this.paintFlags(plot),
      signature: theme,
    });
  }

  drawDensity(theme, start, stop) {
    const { Time, rho } = this.density;
    const times = Time.length ? Time.map((end) => (end - this.length / 2) / 1000) : [start / 1000, stop / 1000];
    const values = rho || [null, null];
    const known = values.filter(Number.isFinite);
    const [low, high] = known.length ? [10 ** Math.floor(Math.log10(Math.min(...known))), 10 ** Math.ceil(Math.log10(Math.max(...known) * 1.01))] : [10, 10000];
    this.panels.draw("density", [times, values], {
      title: "Mass density with its 90 % interval",
      unit: "amu cm⁻³",
      height: 190,
      times: true,
      log: true,
      series: [{ stroke: color("freq"), width: 0, points: { show: true, size: 6, fill: color("freq") } }],
      range: () => [low, high],
      behind: (plot) => this.paintIntervals(plot),
      signature: `${theme}-${low}-${high}`,
    });
  }

  column(name, place) {
    return (this.labels[name] || []).map((value) => (Array.isArray(value) ? value[place] : value));
  }

  /** The chosen frequency with its interval, and the physical estimate. */
  paintReadings(plot, withEstimate) {
    const { ctx } = plot;
    const ratio = devicePixelRatio || 1;
    const line = color("mark");
    this.labels.Time.forEach((end, row) => {
      const x = plot.valToPos((end - this.length / 2) / 1000, "x", true);
      if (x < plot.bbox.left - 9 || x > plot.bbox.left + plot.bbox.width + 9) return;
      const estimate = this.labels.physical_frequency_mHz[row];
      if (withEstimate && Number.isFinite(estimate)) ring(ctx, x, plot.valToPos(estimate, "y", true), 4.5 * ratio, line);
      const frequency = this.labels.frequency_mHz[row];
      if (!Number.isFinite(frequency)) return;
      const ends = this.labels.frequency_interval_mHz[row];
      const y = plot.valToPos(frequency, "y", true);
      ctx.strokeStyle = line;
      ctx.lineWidth = 1.5 * ratio;
      if (Array.isArray(ends) && ends.every(Number.isFinite)) {
        ctx.beginPath();
        ctx.moveTo(x, plot.valToPos(ends[0], "y", true));
        ctx.lineTo(x, plot.valToPos(ends[1], "y", true));
        ctx.stroke();
      }
      sign(ctx, this.labels.label[row], x, y, 3.2 * ratio, line);
    });
  }

  paintIntervals(plot) {
    const { ctx } = plot;
    ctx.strokeStyle = color("freq");
    ctx.lineWidth = 1.2 * (devicePixelRatio || 1);
    this.density.Time.forEach((end, row) => {
      const ends = this.density.rho_interval[row];
      if (!Array.isArray(ends) || !ends.every(Number.isFinite)) return;
      const x = plot.valToPos((end - this.length / 2) / 1000, "x", true);
      ctx.beginPath();
      ctx.moveTo(x, plot.valToPos(ends[0], "y", true));
      ctx.lineTo(x, plot.valToPos(ends[1], "y", true));
      ctx.stroke();
    });
  }

  /** A stroke at the bottom where a window has flags; which, the readout says. */
  paintFlags(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.fillStyle = color("warn");
    this.windows().forEach(({ row, start, stop }) => {
      if (!this.labels.flags[row] || this.labels.flags[row] === "none") return;
      const [left, right] = edges(plot, start, stop);
      ctx.fillRect(left, bbox.top + bbox.height - 4 * ratio, Math.max(1, right - left - ratio), 4 * ratio);
    });
  }

  point(at) {
    if (!at || !this.labels) return refill(this.readout, "Point at a panel for exact values; drag to zoom, double-click to go back.");
    const row = this.labels.Time.findIndex((end) => Math.abs(end - this.length / 2 - at.time) <= this.cadence / 2);
    const said = [el("strong", {}, `${when(at.time)} UT`)];
    if (at.panel in KINDS) {
      const found = valuesAt(this.waves, at.time, at.value, this.cadence, this.length);
      if (found) said.push(` ${found.frequency.toFixed(2)} mHz: ${number(found.phase)}°, ratio ${number(found.ratio)}, coherence ${number(found.coherence)}`);
    }
    if (row >= 0) said.push(...this.saidOfWindow(row));
    return refill(this.readout, said);
  }

  saidOfWindow(row) {
    const { label, probability, frequency_mHz, frequency_interval_mHz, physical_frequency_mHz, physical_sigma_mHz, flags, revision, Time } = this.labels;
    const shares = CLASSES.map((name, place) => `${name} ${percent(inOrder(probability[row])?.[place])}`).join(", ");
    const dense = this.density.Time.indexOf(Time[row]);
    return [
      " · window to ", when(Time[row]).slice(11), " ", badge(label[row]), ` ${shares}`,
      Number.isFinite(frequency_mHz[row]) ? ` · f ${number(frequency_mHz[row])} mHz (${interval(frequency_interval_mHz[row])})` : "",
      Number.isFinite(physical_frequency_mHz[row]) ? ` · physical ${number(physical_frequency_mHz[row])} ± ${number(physical_sigma_mHz[row], 2)} mHz` : "",
      dense >= 0 && Number.isFinite(this.density.rho[dense]) ? ` · ρ ${number(this.density.rho[dense])} amu cm⁻³ (${interval(this.density.rho_interval[dense])})` : "",
      flags[row] && flags[row] !== "none" ? ` · ${flags[row]}` : "",
      revision[row] ? ` · revision ${revision[row]}` : "",
    ];
  }

  drawState() {
    const object = this.live.newest("flr", this.subject);
    this.place.classList.toggle("stale", Boolean(object && object.stale));
    if (object && object.stale) refill(this.note, `Stale: nothing new of ${this.subject} since ${when(parsed(object.time))} UT.`);
    else if (!this.failed) refill(this.note);
  }

  drawAside(theme) {
    const legend = (kind, low, high) => el("span", { class: "legend" }, low, scaleBar(kind, theme), high);
    refill(
      this.aside,
      el("p", { class: "legends" }, legend("phase", "−120°", "+120°"), legend("ratio", "ratio ¼", "4"), legend("coherence", "coherence 0", "1"), " ● Freq, ◆ PBL with 90 % interval · ○ physical estimate"),
      el(
        "p",
        { role: "group", "aria-label": "Highest frequency shown" },
        "up to ",
        TOP_MHZ.map((top) =>
          el("button", { type: "button", "aria-pressed": String(top === this.top), onclick: () => { this.topChoice = top; this.load(); } }, `${top} mHz`),
        ),
      ),
    );
  }

  savePicture() {
    const [start, stop] = this.range();
    savePicture(`${this.subject}_${iso(start).slice(0, 16)}.png`, this.panels.picture(`${this.subject}   ${when(start)} – ${when(stop)} UT`));
  }

  saveWindows() {
    const [start, stop] = this.range();
    const names = [...COLUMNS];
    const heads = ["time", ...names.flatMap((name) => (Array.isArray(this.labels[name]?.[0]) ? this.labels[name][0].map((_, place) => `${name}_${place}`) : [name]))];
    const rows = this.labels.Time.map((end, row) => [iso(end), ...names.flatMap((name) => this.labels[name]?.[row])]);
    save(`${this.subject}_${iso(start).slice(0, 10)}_${iso(stop).slice(0, 10)}.csv`, new Blob([csv(heads, rows)], { type: "text/csv" }));
  }

  saveSpectra() {
    const { times, bins, first, step, phase, ratio, coherence } = this.waves;
    const rows = [];
    times.forEach((end, row) => {
      for (let bin = 0; bin < bins; bin++) {
        const at = row * bins + bin;
        if (phase[at] === KINDS.phase.nothing) continue;
        rows.push([iso(end), (first + bin * step).toFixed(4), phase[at] / 100, Math.exp(ratio[at] / 1000).toFixed(4), (coherence[at] / 254).toFixed(3)]);
      }
    });
    const heads = ["time", "frequency_mHz", "cross_phase_deg", "amplitude_ratio", "coherence"];
    save(`${this.subject}_spectra.csv`, new Blob([csv(heads, rows)], { type: "text/csv" }));
  }
}

/** HAPI has the classes in the order of `Label`: NoFreq, Freq, PBL. */
function inOrder(shares) {
  return Array.isArray(shares) ? shares : null;
}

function cadenceOf(times) {
  let shortest = Infinity;
  for (let place = 1; place < times.length; place++) if (times[place] > times[place - 1]) shortest = Math.min(shortest, times[place] - times[place - 1]);
  return Number.isFinite(shortest) ? shortest : 1800000;
}

function ring(ctx, x, y, size, stroke) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = size / 3;
  ctx.beginPath();
  ctx.arc(x, y, size, 0, 2 * Math.PI);
  ctx.stroke();
}

function sign(ctx, label, x, y, size, fill) {
  ctx.fillStyle = fill;
  ctx.beginPath();
  if (label === "PBL") {
    ctx.moveTo(x, y - 1.5 * size);
    ctx.lineTo(x + 1.5 * size, y);
    ctx.lineTo(x, y + 1.5 * size);
    ctx.lineTo(x - 1.5 * size, y);
    ctx.closePath();
  } else {
    ctx.arc(x, y, size, 0, 2 * Math.PI);
  }
  ctx.fill();
}
