// Spectrograms as images: a column a window, a row a bin.

import { NO_COHERENCE, NO_STEP } from "./data.js";

const DIVERGING = {
  light: [[5, 48, 97], [67, 147, 195], [209, 229, 240], [250, 250, 250], [253, 219, 199], [214, 96, 77], [103, 0, 31]],
  dark: [[170, 214, 255], [64, 140, 204], [26, 66, 106], [24, 27, 31], [108, 46, 36], [214, 96, 77], [255, 206, 184]],
};
const SEQUENTIAL = {
  light: [[247, 250, 252], [199, 223, 226], [116, 178, 190], [45, 122, 142], [8, 60, 84]],
  dark: [[20, 24, 28], [22, 58, 72], [30, 106, 122], [86, 170, 170], [222, 246, 226]],
};
const STEPS = 256;
const tables = new Map();

/** 256 colours between the stops, as 32-bit pixels. */
function table(kind, theme) {
  const key = `${kind}-${theme}`;
  if (!tables.has(key)) {
    const stops = (kind === "diverging" ? DIVERGING : SEQUENTIAL)[theme];
    const made = new Uint32Array(STEPS);
    for (let index = 0; index < STEPS; index++) {
      const at = (index / (STEPS - 1)) * (stops.length - 1);
      const low = Math.min(Math.floor(at), stops.length - 2);
      const [r, g, b] = [0, 1, 2].map((channel) => Math.round(stops[low][channel] + (at - low) * (stops[low + 1][channel] - stops[low][channel])));
      made[index] = 0xff000000 | (b << 16) | (g << 8) | r;
    }
    tables.set(key, made);
  }
  return tables.get(key);
}

export const KINDS = {
  phase: { steps: 100, low: -120, high: 120, colors: "diverging", nothing: NO_STEP, unit: "°" },
  ratio: { steps: 1000, low: -Math.log(4), high: Math.log(4), colors: "diverging", nothing: NO_STEP, unit: "ln" },
  coherence: { steps: 254, low: 0, high: 1, colors: "sequential", nothing: NO_COHERENCE, unit: "" },
};

/** The image of one quantity: windows in even slots of `cadence` (ms), the lowest bin at the bottom. */
export class Spectrogram {
  constructor(spectra, kind, cadence, length, theme) {
    this.spectra = spectra;
    this.kind = KINDS[kind];
    this.cadence = cadence;
    const { times, bins, first, step } = spectra;
    this.empty = times.length === 0 || bins === 0;
    if (this.empty) return;
    // A window speaks for its centre.
    this.start = times[0] - length / 2 - cadence / 2;
    this.slots = Math.round((times[times.length - 1] - times[0]) / cadence) + 1;
    this.stop = this.start + this.slots * cadence;
    this.low = first - step / 2;
    this.high = first + (bins - 0.5) * step;
    this.image = this.painted(spectra[kind], table(this.kind.colors, theme));
  }

  painted(values, colors) {
    const { times, bins } = this.spectra;
    const image = new OffscreenCanvas(this.slots, bins);
    const context = image.getContext("2d");
    const pixels = context.createImageData(this.slots, bins);
    const out = new Uint32Array(pixels.data.buffer);
    const { low, high, steps, nothing } = this.kind;
    const scale = (STEPS - 1) / ((high - low) * steps);
    const offset = low * steps;
    for (let row = 0; row < times.length; row++) {
      const slot = Math.round((times[row] - times[0]) / this.cadence);
      for (let bin = 0; bin < bins; bin++) {
        const value = values[row * bins + bin];
        if (value === nothing) continue;
        const place = ((value - offset) * scale) | 0;
        out[(bins - 1 - bin) * this.slots + slot] = colors[place < 0 ? 0 : place > STEPS - 1 ? STEPS - 1 : place];
      }
    }
    context.putImageData(pixels, 0, 0);
    return image;
  }

  paint(plot) {
    if (this.empty) return;
    const left = plot.valToPos(this.start / 1000, "x", true);
    const right = plot.valToPos(this.stop / 1000, "x", true);
    const top = plot.valToPos(this.high, "y", true);
    const bottom = plot.valToPos(this.low, "y", true);
    plot.ctx.imageSmoothingEnabled = false;
    plot.ctx.drawImage(this.image, left, top, right - left, bottom - top);
  }
}

/** Exact values of the spectra at a time of a window's centre (ms) and a frequency (mHz); null where there are none. */
export function valuesAt(spectra, time, frequency, cadence, length) {
  const { times, bins, first, step } = spectra;
  const bin = Math.round((frequency - first) / step);
  if (!(bin >= 0 && bin < bins)) return null;
  const row = times.findIndex((end) => Math.abs(end - length / 2 - time) <= cadence / 2);
  if (row < 0) return null;
  const at = row * bins + bin;
  const { phase, ratio, coherence } = spectra;
  return {
    end: times[row],
    frequency: first + bin * step,
    phase: phase[at] === NO_STEP ? null : phase[at] / KINDS.phase.steps,
    ratio: ratio[at] === NO_STEP ? null : Math.exp(ratio[at] / KINDS.ratio.steps),
    coherence: coherence[at] === NO_COHERENCE ? null : coherence[at] / KINDS.coherence.steps,
  };
}

/** A bar that explains the colours of a quantity. */
export function scaleBar(kind, theme) {
  const colors = table(KINDS[kind].colors, theme);
  const bar = document.createElement("canvas");
  [bar.width, bar.height] = [STEPS, 1];
  const context = bar.getContext("2d");
  const pixels = context.createImageData(STEPS, 1);
  new Uint32Array(pixels.data.buffer).set(colors);
  context.putImageData(pixels, 0, 0);
  bar.className = "scale-bar";
  bar.setAttribute("aria-hidden", "true");
  return bar;
}
