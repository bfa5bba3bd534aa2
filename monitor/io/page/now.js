// Now: the chain around the Earth, the plasmapause, every pair and spacecraft, and the events of the last day.

import { hapi } from "./data.js";
import { el, keepingFocus, refill, svg } from "./dom.js";
import { badge, marker, REGION_NAMES, REGIONS, shade } from "./labels.js";
import { csv, pictureOf, save, savePicture } from "./plot.js";
import { clock, interval, lasting, number, parsed, percent, when } from "./text.js";

const SIZE = 460;
const CENTER = SIZE / 2;
const DAY_MS = 86400000;
const EVENT_NAMES = {
  plasmapause_crossing: "plasmapause",
  magnetopause_crossing: "magnetopause",
  bow_shock_crossing: "bow shock",
};

export class NowView {
  constructor(root, _parameters, live) {
    this.live = live;
    this.root = root;
    this.dial = el("figure", { class: "dial" });
    this.pairs = el("section", { class: "card", "aria-labelledby": "pairs-title" });
    this.craft = el("section", { class: "card", "aria-labelledby": "craft-title" });
    this.events = el("section", { class: "card", "aria-labelledby": "events-title" });
    refill(root, el("div", { class: "now" }, this.dial, el("div", { class: "stack" }, this.pairs, this.craft, this.events)));
    this.takeaway = el(
      "p",
      { class: "bar" },
      el("button", { type: "button", onclick: () => this.savePicture() }, "PNG"),
      el("button", { type: "button", onclick: () => this.saveTable() }, "CSV"),
    );
    this.known = new Map();
    this.draw();
    this.fetchEvents();
  }

  title() {
    return "Now";
  }

  onStatus() {
    this.draw();
  }

  onAgain() {
    this.fetchEvents();
  }

  onProduct({ kind, object }) {
    if (kind === "event") {
      const about = object.properties;
      this.known.set(about.data_id, eventOf(about, object.id));
    }
    this.later();
  }

  /** Many products come at once: they are drawn together. */
  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  destroy() {
    cancelAnimationFrame(this.waiting);
  }

  async fetchEvents() {
    const newest = newestTime(this.live.status) || Date.now();
    // An event that is said late began earlier than the last day.
    const found = await hapi("events", null, newest - 3 * DAY_MS, newest + DAY_MS).catch(() => null);
    if (!found) return;
    found.Time.forEach((time, place) => {
      const id = found.data_id[place];
      this.known.set(id, {
        kind: found.kind[place],
        subject: found.subject[place],
        direction: found.direction[place],
        state: found.state[place],
        outcome: found.outcome[place],
        start: parsed(found.start[place]) || time,
        end: parsed(found.end[place]),
        l: found.l_shell[place],
        confidence: found.confidence[place],
        id: found.id[place],
      });
    });
    this.draw();
  }

  draw() {
    if (this.live.status) keepingFocus(this.root, () => this.drawn(this.live.status));
  }

  drawn(status) {
    const newest = newestTime(status);
    refill(this.dial, dialOf(status), el("figcaption", {}, captionOf(status)), this.takeaway);
    refill(this.pairs, el("h2", { id: "pairs-title" }, "Pairs"), pairTable(status, newest));
    refill(this.craft, el("h2", { id: "craft-title" }, "Spacecraft"), craftList(status, newest));
    refill(this.events, el("h2", { id: "events-title" }, "Events of the last day"), this.eventList(status, newest));
  }

  async savePicture() {
    const time = new Date(newestTime(this.live.status)).toISOString().slice(0, 16);
    savePicture(`chain_${time}.png`, await pictureOf(this.dial.querySelector("svg")));
  }

  saveTable() {
    const { pairs, regions } = this.live.status;
    const heads = ["subject", "time", "label", "probability", "frequency_mHz", "density_amu_cm3", "l_shell", "mlt_h", "flags", "stale"];
    const rows = [
      ...Object.entries(pairs).map(([name, pair]) => [name, pair, pair?.probability?.[pair.label]]),
      ...Object.entries(regions).map(([name, region]) => [name, region, region?.confidence]),
    ]
      .filter(([, object]) => object)
      .map(([name, object, share]) => [
        name, object.time, object.label, share, object.frequency_mHz, object.density_amu_cm3, object.l_shell, object.mlt_h,
        (object.flags || []).join(" "), object.stale,
      ]);
    save("now.csv", new Blob([csv(heads, rows)], { type: "text/csv" }));
  }

  eventList(status, newest) {
    for (const object of status.events) this.known.set(object.properties.data_id, eventOf(object.properties, object.id));
    const rows = [...this.known.values()]
      .filter((event) => event.state !== "end" || (event.end || event.start) > newest - DAY_MS)
      .sort((one, other) => other.start - one.start);
    if (!rows.length) return el("p", { class: "quiet" }, "None.");
    return el("ol", { class: "events" }, rows.map(eventItem));
  }
}

function eventOf(about, id) {
  return {
    kind: about.kind,
    subject: about.subject,
    direction: about.direction,
    state: about.state,
    outcome: about.outcome,
    start: parsed(about.start_datetime || about.datetime),
    end: parsed(about.end_datetime),
    l: about.l_shell,
    confidence: about.confidence,
    id,
  };
}

function eventItem(event) {
  const isOpen = event.state !== "end";
  const span = isOpen ? `${when(event.start)} – open` : `${when(event.start)} – ${when(event.end).slice(11) || "?"}`;
  return el(
    "li",
    { class: isOpen ? "open" : "over" },
    el("time", { datetime: Number.isFinite(event.start) ? new Date(event.start).toISOString() : null }, span),
    el("a", { href: `events/${encodeURIComponent(event.id)}` }, EVENT_NAMES[event.kind] || event.kind),
    el("span", {}, `${event.subject}${event.direction ? ` · ${event.direction}` : ""}${Number.isFinite(event.l) ? ` · L ${number(event.l)}` : ""}`),
    el("span", { class: "quiet" }, isOpen ? `confidence ${percent(event.confidence)}` : event.outcome || "over"),
  );
}

/** The newest time that the daemon speaks of: the present of a live feed, and of a replay its own. */
export function newestTime(status) {
  if (!status) return NaN;
  const times = Object.values(status.sources).map((source) => parsed(source.last_sample));
  return times.length ? Math.max(...times) : Date.now();
}

// -- the dial ------------------------------------------------------------------------------------------------------

function dialOf(status) {
  const shells = Object.values(status.pairs).map((pair) => pair && pair.l_shell);
  const outermost = Math.max(4, Math.ceil(Math.max(...shells.filter(Number.isFinite), 0) + 0.5));
  const scale = (CENTER - 34) / outermost;
  const drawing = svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": captionOf(status) });
  for (let shell = 2; shell <= outermost; shell += shell < 6 ? 1 : 2) {
    drawing.append(
      svg("circle", { class: "shell", cx: CENTER, cy: CENTER, r: shell * scale }),
      svg("text", { class: "tick", x: CENTER + 3, y: CENTER + shell * scale - 3 }, `L ${shell}`),
    );
  }
  for (let hour = 0; hour < 24; hour += 6) {
    const [x, y] = place(outermost + 0.1, hour, scale);
    const [tx, ty] = place(outermost + 18 / scale, hour, scale);
    drawing.append(
      svg("line", { class: "spoke", x1: CENTER, y1: CENTER, x2: x, y2: y }),
      svg("text", { class: "hour", x: tx, y: ty + 4, "text-anchor": "middle" }, `${String(hour).padStart(2, "0")}${hour === 12 ? " MLT ☉" : ""}`),
    );
  }
  drawing.append(
    svg("circle", { class: "earth-night", cx: CENTER, cy: CENTER, r: scale }),
    svg("path", { class: "earth-day", d: `M${CENTER - scale} ${CENTER}A${scale} ${scale} 0 0 1 ${CENTER + scale} ${CENTER}Z` }),
  );
  for (const [name, found] of Object.entries(status.chains)) plasmapause(drawing, name, found, status, scale);
  const known = Object.entries(status.pairs).filter(([, pair]) => pair && Number.isFinite(pair.l_shell) && Number.isFinite(pair.mlt_h));
  // First all the marks, so that no name covers one.
  const placed = known.map(([, pair]) => {
    const [x, y] = place(pair.l_shell, pair.mlt_h, scale);
    return { left: x - 7, right: x + 7, top: y - 7, bottom: y + 7 };
  });
  for (const [name, pair] of known) pairMark(drawing, name, pair, scale, placed);
  return drawing;
}

/** A point of the dial, seen from above the north pole with the Sun up: dawn is to the right, dusk to the left. */
function place(shell, hour, scale) {
  const angle = ((12 - hour) / 24) * 2 * Math.PI;
  return [CENTER + shell * scale * Math.sin(angle), CENTER - shell * scale * Math.cos(angle)];
}

function arc(shell, from, to, scale) {
  const [x1, y1] = place(shell, from, scale);
  const [x2, y2] = place(shell, to, scale);
  return { x1, y1, x2, y2, r: shell * scale };
}

function plasmapause(drawing, name, found, status, scale) {
  if (!found || !Number.isFinite(found.l_shell)) return;
  const hour = Number.isFinite(found.mlt_h) ? found.mlt_h : 12;
  const [from, to] = [hour - 2, hour + 2];
  const ends = Array.isArray(found.l_interval) ? found.l_interval : [found.l_shell, found.l_shell];
  const [inner, outer] = ends.map((shell) => arc(shell, from, to, scale));
  const band = `M${inner.x1} ${inner.y1}A${inner.r} ${inner.r} 0 0 0 ${inner.x2} ${inner.y2}L${outer.x2} ${outer.y2}A${outer.r} ${outer.r} 0 0 1 ${outer.x1} ${outer.y1}Z`;
  const middle = arc(found.l_shell, from, to, scale);
  const stale = found.stale ? " stale" : "";
  drawing.append(
    svg("path", { class: `band${stale}`, d: band }, svg("title", {}, `plasmapause of ${name}: L ${number(found.l_shell)} (${interval(ends)})`)),
    svg("path", { class: `pause${stale}`, d: `M${middle.x1} ${middle.y1}A${middle.r} ${middle.r} 0 0 0 ${middle.x2} ${middle.y2}` }),
  );
}

function pairMark(drawing, name, pair, scale, placed) {
  const [x, y] = place(pair.l_shell, pair.mlt_h, scale);
  const said = `${name}: ${pair.label}${Number.isFinite(pair.frequency_mHz) ? `, ${number(pair.frequency_mHz)} mHz, ${number(pair.density_amu_cm3)} amu cm⁻³` : ""}, L ${number(pair.l_shell)}`;
  const label = labelPlace(placed, x, y, name.length * 5.6 + 4);
  drawing.append(
    svg("line", { class: "leader", x1: x, y1: y, x2: label.x, y2: label.y }),
    svg(
      "a",
      { href: `#/pair/${encodeURIComponent(name)}`, class: pair.stale ? "stale" : null },
      svg("title", {}, said),
      marker(pair.label, x, y, 5),
      svg("text", { class: "name", x: label.x, y: label.y + 3.5, "text-anchor": "middle" }, name),
    ),
  );
}

/** Where a name of a width finds room near a point: the nearest place that covers nothing placed before. */
function labelPlace(placed, x, y, width) {
  for (let distance = 16; distance < 150; distance += 9) {
    for (const turn of [0.5, 1.5, 0.75, 0.25, 1.25, 1.75, 0, 1]) {
      const at = { x: x + Math.cos(turn * Math.PI) * (distance + width / 3), y: y - Math.sin(turn * Math.PI) * distance };
      const box = { left: at.x - width / 2, right: at.x + width / 2, top: at.y - 7, bottom: at.y + 7 };
      const inside = box.left > 2 && box.right < SIZE - 2 && box.top > 2 && box.bottom < SIZE - 2;
      if (inside && placed.every((other) => box.left > other.right || box.right < other.left || box.top > other.bottom || box.bottom < other.top)) {
        placed.push(box);
        return at;
      }
    }
  }
  return { x, y: y - 16 };
}

function captionOf(status) {
  const said = Object.entries(status.chains).map(([name, found]) => {
    if (!found) return `${name}: no plasmapause yet`;
    const age = found.stale ? `, stale: of ${when(parsed(found.time))}` : "";
    if (!Number.isFinite(found.l_shell)) return `${name}: no plasmapause stated (${found.reason || "unknown"})${age}`;
    return `${name}: plasmapause at L ${number(found.l_shell)} (${interval(found.l_interval)}), ${clock(found.mlt_h)} MLT${age}`;
  });
  return said.join("; ") || "No chain is configured";
}

// -- tables --------------------------------------------------------------------------------------------------------

function pairTable(status, newest) {
  const names = Object.keys(status.pairs).sort((one, other) => shellOf(status, other) - shellOf(status, one));
  if (!names.length) return el("p", { class: "quiet" }, "No pair is configured.");
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the pairs" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ["Pair", "L", "MLT", "Label", "Probability", "f (mHz)", "ρ (amu cm⁻³)", "Window", "Flags"].map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, names.map((name) => pairRow(name, status.pairs[name], newest))),
    ),
  );
}

function shellOf(status, name) {
  const pair = status.pairs[name];
  return pair && Number.isFinite(pair.l_shell) ? pair.l_shell : 0;
}

function pairRow(name, pair, newest) {
  const link = el("a", { href: `#/pair/${encodeURIComponent(name)}` }, name);
  if (!pair) return el("tr", { class: "none" }, el("th", { scope: "row" }, link), el("td", { colspan: 8 }, "no window yet"));
  const probability = pair.probability && pair.probability[pair.label];
  return el(
    "tr",
    { class: pair.stale ? "stale" : null },
    el("th", { scope: "row" }, link),
    el("td", {}, number(pair.l_shell)),
    el("td", {}, clock(pair.mlt_h)),
    el("td", {}, badge(pair.label, pair.stale)),
    el("td", {}, percent(probability)),
    el("td", {}, number(pair.frequency_mHz), el("small", {}, ` ${interval(pair.frequency_interval_mHz)}`)),
    el("td", {}, number(pair.density_amu_cm3), el("small", {}, ` ${interval(pair.density_interval_amu_cm3)}`)),
    el("td", { class: "window" }, ageOf(pair, newest)),
    el("td", {}, el("small", {}, pair.flags.join(" "))),
  );
}

function ageOf(object, newest) {
  const time = parsed(object.time);
  const text = when(time).slice(5);
  return object.stale ? el("span", { class: "old" }, `stale · ${text} · ${lasting((newest - time) / 1000)} behind`) : text;
}

function craftList(status, newest) {
  const names = Object.keys(status.regions);
  if (!names.length) return el("p", { class: "quiet" }, "No spacecraft is configured.");
  return el("ul", { class: "crafts" }, names.map((name) => craftItem(name, status.regions[name], newest)));
}

function craftItem(name, region, newest) {
  const link = el("a", { href: `#/craft/${encodeURIComponent(name)}` }, name);
  if (!region) return el("li", { class: "none" }, el("h3", {}, link), el("p", { class: "quiet" }, "no window yet"));
  return el(
    "li",
    { class: region.stale ? "stale" : null },
    el("h3", {}, link, " ", badge(region.label, region.stale), el("small", {}, region.label ? ` ${REGION_NAMES[region.label] || ""}` : " no label")),
    el(
      "ol",
      { class: "path", "aria-hidden": "true" },
      REGIONS.map((one) => {
        const share = region.probability ? region.probability[one] || 0 : 0;
        const item = el("li", { class: `${shade(one)}${one === region.label ? " here" : ""}`, title: `${one}: ${percent(share)}` }, one);
        item.style.setProperty("--share", String(share));
        return item;
      }),
    ),
    el("p", {}, `confidence ${percent(region.confidence)} · quality ${region.quality} · `, ageOf(region, newest)),
  );
}
