// Labels as they are shown: a colour, and always a sign or a word beside it.

import { el, svg } from "./dom.js";

export const CLASSES = ["NoFreq", "Freq", "PBL"];
const SIGNS = { NoFreq: "○", Freq: "●", PBL: "◆" };
const CLASS_COLORS = { NoFreq: "nofreq", Freq: "freq", PBL: "pbl" };

/** The ten regions from the Sun to the tail. */
export const REGIONS = ["SW", "FS", "BS", "MSH", "MP", "BL", "MSP", "PS", "PSBL", "LOBE"];
export const REGION_NAMES = {
  SW: "solar wind",
  FS: "foreshock",
  BS: "bow shock",
  MSH: "magnetosheath",
  MP: "magnetopause",
  BL: "boundary layer",
  MSP: "magnetosphere",
  PS: "plasma sheet",
  PSBL: "plasma sheet boundary layer",
  LOBE: "lobe",
};

/** Name of the style sheet's colour of a label or region. */
export function shade(label) {
  if (label in CLASS_COLORS) return CLASS_COLORS[label];
  return REGIONS.includes(label) ? `region-${label.toLowerCase()}` : "nofreq";
}

export function sign(label) {
  return SIGNS[label] || "·";
}

/** A label as a word with its sign and colour. */
export function badge(label, isStale = false) {
  if (!label) return el("span", { class: "badge none" }, "–");
  const known = label in SIGNS || REGIONS.includes(label);
  return el(
    "span",
    { class: `badge ${known ? shade(label) : "nofreq"}${isStale ? " stale" : ""}`, title: REGION_NAMES[label] || null },
    label in SIGNS ? `${SIGNS[label]} ` : "",
    label,
  );
}

/** The sign of a pair's label as a shape around a point of a drawing. */
export function marker(label, x, y, size) {
  const attributes = { class: `marker ${shade(label)}` };
  if (label === "PBL") {
    const path = `M${x} ${y - size * 1.3}L${x + size * 1.3} ${y}L${x} ${y + size * 1.3}L${x - size * 1.3} ${y}Z`;
    return svg("path", { ...attributes, d: path });
  }
  return svg("circle", { ...attributes, cx: x, cy: y, r: size });
}
