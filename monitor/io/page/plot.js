// Panels over a common axis of time, on uPlot: colours of the theme, UTC, one zoom and one cursor for all.

import uPlot from "./vendor/uplot/uplot.esm.js";
import { color, el } from "./dom.js";

const AXIS_PX = 62;

/** Panels under each other that share their time axis. */
export class Panels {
  /**
   * @param root element that takes the panels
   * @param onZoom told of [start, stop] (ms) when somebody zooms, and of null when he goes back
   * @param onCursor told of the time (ms) and the value under the cursor, and the panel's name; null when it leaves
   */
  constructor(root, onZoom, onCursor) {
    this.root = root;
    this.onZoom = onZoom;
    this.onCursor = onCursor;
    this.plots = new Map();
    this.range = [0, 1];
    this.quiet = false;
    this.key = uPlot.sync(`panels-${Math.random()}`);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(root);
  }

  /** Set the span that is shown (ms). */
  setRange(startMs, stopMs) {
    this.range = [startMs / 1000, stopMs / 1000];
    this.quiet = true;
    for (const { plot } of this.plots.values()) plot.setScale("x", { min: this.range[0], max: this.range[1] });
    this.quiet = false;
  }

  /**
   * Draw a panel anew.
   * @param name what it is called
   * @param data [times (s), values …] as uPlot takes it
   * @param options title, unit, height, times (whether the axis names them), across (whether the cursor has a height), series, range, log, ticks, and painters: `under` the
   *   lines and in the place of the grid, `behind` lines and grid, `over` everything
   */
  draw(name, data, options) {
    const shown = this.plots.get(name);
    if (shown && shown.signature === options.signature) {
      Object.assign(shown.painters, { under: options.under || options.behind, over: options.over });
      this.quiet = true;
      shown.plot.setData(data, false);
      shown.plot.setScale("x", { min: this.range[0], max: this.range[1] });
      shown.plot.redraw();
      this.quiet = false;
      return shown.plot;
    }
    const place = shown ? shown.place : el("div", { class: "panel" });
    if (shown) shown.plot.destroy();
    else this.root.append(place);
    place.replaceChildren(el("h2", {}, options.title));
    const painters = { under: options.under || options.behind, over: options.over };
    const plot = new uPlot(this.settings(name, options, painters), data, place);
    this.reach(name, plot, options.title);
    this.plots.set(name, { plot, place, painters, signature: options.signature });
    return plot;
  }

  /** Let the keyboard move the cursor: arrows by a hundredth of the panel, with shift by a tenth. */
  reach(name, plot, title) {
    plot.over.setAttribute("role", "group");
    plot.over.setAttribute("aria-label", `${title}: arrow keys move the cursor`);
    plot.over.tabIndex = 0;
    plot.over.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const share = event.shiftKey ? 0.1 : 0.01;
      const [width, height] = [plot.over.clientWidth, plot.over.clientHeight];
      const at = plot.cursor.left >= 0 ? [plot.cursor.left, plot.cursor.top] : [width / 2, height / 2];
      const left = Math.min(Math.max(at[0] + move[0] * share * width, 0), width - 1);
      const top = Math.min(Math.max(at[1] + move[1] * share * height, 0), height - 1);
      plot.setCursor({ left, top });
      this.onCursor({ panel: name, time: plot.posToVal(left, "x") * 1000, value: plot.posToVal(top, "y") });
    });
  }

  remove(name) {
    const shown = this.plots.get(name);
    if (!shown) return;
    shown.plot.destroy();
    shown.place.remove();
    this.plots.delete(name);
  }

  settings(name, options, painters) {
    const [text, grid] = [color("quiet"), color("grid")];
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui, sans-serif" };
    return {
      width: this.width(),
      height: options.height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: false },
      padding: [6, 12, 0, 0],
      cursor: {
        sync: { key: this.key.key, scales: ["x", null] },
        // Only where panels have the same height does a line across all of them mean something.
        y: Boolean(options.across),
        drag: { x: true, y: false, setScale: true },
        points: { show: !options.under },
      },
      scales: {
        x: { time: true, range: () => this.range },
        y: { range: options.range || undefined, distr: options.log ? 3 : 1 },
      },
      series: [{}, ...options.series],
      axes: [
        { ...axis, size: options.times ? 44 : 8, values: options.times ? timeTicks : () => [], grid: options.under ? { show: false } : axis.grid },
        { ...axis, grid: options.under ? { show: false } : axis.grid, size: AXIS_PX, label: options.unit, labelSize: 18, labelFont: "11px system-ui, sans-serif", splits: options.ticks ? () => options.ticks : undefined, values: options.tickTexts ? () => options.tickTexts : undefined },
      ],
      hooks: {
        drawClear: [(plot) => painters.under && within(plot, () => painters.under(plot))],
        draw: [(plot) => painters.over && within(plot, () => painters.over(plot))],
        setSelect: [(plot) => this.zoomed(plot)],
        setCursor: [(plot) => this.pointed(name, plot)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.onZoom(null))],
      },
    };
  }

  zoomed(plot) {
    if (this.quiet || plot.select.width < 4) return;
    const start = plot.posToVal(plot.select.left, "x") * 1000;
    const stop = plot.posToVal(plot.select.left + plot.select.width, "x") * 1000;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onZoom([start, stop]);
  }

  pointed(name, plot) {
    const { left, top } = plot.cursor;
    if (left === null || left === undefined || left < 0) {
      if (plot.cursor.event) this.onCursor(null);
      return;
    }
    // Panels that only follow have no height under their cursor.
    if (plot.cursor.event) this.onCursor({ panel: name, time: plot.posToVal(left, "x") * 1000, value: plot.posToVal(top, "y") });
  }

  width() {
    return Math.max(280, this.root.clientWidth);
  }

  resize() {
    const width = this.width();
    for (const { plot } of this.plots.values()) if (plot.width !== width) plot.setSize({ width, height: plot.height });
  }

  /** One picture of all panels, as a canvas. */
  picture(title) {
    const canvases = [...this.plots.values()].map(({ plot, place }) => [plot.ctx.canvas, place.firstChild.textContent]);
    const ratio = devicePixelRatio || 1;
    const line = 18 * ratio;
    const picture = document.createElement("canvas");
    picture.width = Math.max(...canvases.map(([canvas]) => canvas.width));
    picture.height = canvases.reduce((sum, [canvas]) => sum + canvas.height + line, 2 * line);
    const context = picture.getContext("2d");
    context.fillStyle = color("ground");
    context.fillRect(0, 0, picture.width, picture.height);
    context.fillStyle = color("ink");
    context.font = `bold ${13 * ratio}px system-ui, sans-serif`;
    context.fillText(title, 8 * ratio, 1.3 * line);
    let y = 2 * line;
    for (const [canvas, heading] of canvases) {
      context.font = `${12 * ratio}px system-ui, sans-serif`;
      context.fillText(heading, 8 * ratio, y + 0.7 * line);
      context.drawImage(canvas, 0, y + line);
      y += canvas.height + line;
    }
    return picture;
  }

  destroy() {
    this.observer.disconnect();
    for (const name of [...this.plots.keys()]) this.remove(name);
  }
}

/** Hours and minutes; the day where it begins, and at the first tick. */
function timeTicks(_plot, ticks) {
  return ticks.map((seconds, place) => {
    const text = new Date(seconds * 1000).toISOString();
    const isDay = text.slice(11, 16) === "00:00";
    if (place === 0 && !isDay) return `${text.slice(11, 16)}\n${text.slice(0, 10)}`;
    return isDay ? `${text.slice(5, 10)}\n${text.slice(0, 4)}` : text.slice(11, 16);
  });
}

/** Paint inside the plotting area only. */
function within(plot, paint) {
  const { left, top, width, height } = plot.bbox;
  plot.ctx.save();
  plot.ctx.beginPath();
  plot.ctx.rect(left, top, width, height);
  plot.ctx.clip();
  paint();
  plot.ctx.restore();
}

/** Left and right edge of a stretch (ms) in whole pixels, so that neighbours leave no seam. */
export function edges(plot, start, stop) {
  return [start, stop].map((time) => Math.round(plot.valToPos(time / 1000, "x", true)));
}

/** Stretches of time with one text after the other as one: [{start, stop, text}] in the order of time. */
export function joined(stretches, colorOf) {
  const found = [];
  for (const { start, stop, text } of stretches) {
    const last = found.at(-1);
    if (!text) continue;
    if (last && last.text === text && Math.abs(last.stop - start) < 1000) last.stop = stop;
    else found.push({ start, stop, text, fill: colorOf(text) });
  }
  return found;
}

/** A strip of coloured stretches: [{start, stop (ms), fill, text}], over the whole height. */
export function paintStrip(plot, stretches) {
  const { ctx, bbox } = plot;
  ctx.font = `${11 * (devicePixelRatio || 1)}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "center";
  for (const { start, stop, fill, text } of stretches) {
    const [left, right] = edges(plot, start, stop);
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.fillStyle = fill;
    ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
    const [from, to] = [Math.max(left, bbox.left), Math.min(right, bbox.left + bbox.width)];
    if (text && to - from > ctx.measureText(text).width + 6) {
      ctx.fillStyle = color("on-label");
      ctx.fillText(text, (from + to) / 2, bbox.top + bbox.height / 2);
    }
  }
}

/** Shares that sum to 1, piled up over stretches of time. */
export function paintShares(plot, windows, fills) {
  const { ctx, bbox } = plot;
  for (const { start, stop, shares } of windows) {
    if (!shares) continue;
    const [left, right] = edges(plot, start, stop);
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    let low = 0;
    shares.forEach((share, place) => {
      const top = plot.valToPos(low + (share || 0), "y", true);
      const bottom = plot.valToPos(low, "y", true);
      ctx.fillStyle = fills[place];
      ctx.fillRect(left, top, Math.max(1, right - left), bottom - top);
      low += share || 0;
    });
  }
}

/** Offer a file for saving. */
export function save(name, blob) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function savePicture(name, canvas) {
  canvas.toBlob((blob) => save(name, blob), "image/png");
}

const DRAWN = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "text-anchor", "paint-order"];

/** A drawing as a canvas: what the style sheet says of it goes into the copy, which is an image by itself. */
export async function pictureOf(drawing, scale = 2) {
  const copy = drawing.cloneNode(true);
  const originals = drawing.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((node, place) => {
    const style = getComputedStyle(originals[place]);
    for (const name of DRAWN) node.style.setProperty(name, style.getPropertyValue(name));
  });
  const { width, height } = drawing.viewBox.baseVal;
  copy.setAttribute("width", width * scale);
  copy.setAttribute("height", height * scale);
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const context = canvas.getContext("2d");
    context.fillStyle = color("raised");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Comma-separated values of columns; what is unknown is an empty cell. */
export function csv(heads, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
    // A spreadsheet would run what begins like a formula.
    const safe = /^[=+@\t\r]/.test(text) && !/^[+-]?[0-9.]/.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return `${[heads, ...rows].map((row) => row.map(cell).join(",")).join("\n")}\n`;
}
