// What the daemon has: JSON of its API, datasets in HAPI, packed spectra.

import { iso } from "./text.js";

const FILL = -1e31;
const BLANK = new Set(["?", "0000-00-00T00:00:00.000Z"]);

/** Fetch JSON; an Error with the server's own words where it cannot be had. */
export async function json(path, signal) {
  const response = await fetch(path, { signal, credentials: "same-origin" });
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const told = body && (body.error || (body.status && body.status.message));
    throw new Error(told || `the server answers ${response.status}`);
  }
  return body;
}

/**
 * Parameters of a HAPI dataset as columns: {Time: [ms], name: [value]}; unknown values are null, and so is
 * everything where the dataset is not there yet.
 */
export async function hapi(dataset, names, startMs, stopMs, signal) {
  const query = new URLSearchParams({ dataset, start: iso(startMs), stop: iso(stopMs), format: "json", include: "header" });
  if (names) query.set("parameters", names.join(","));
  const response = await fetch(`hapi/data?${query}`, { signal, credentials: "same-origin" });
  const body = await response.json().catch(() => null);
  const code = body && body.status && body.status.code;
  if (code === 1405 || code === 1406) return null;
  if (!response.ok || !body) throw new Error((body && body.status && body.status.message) || `the server answers ${response.status}`);
  const columns = {};
  body.parameters.forEach((parameter, place) => {
    columns[parameter.name] = (body.data || []).map((row) => known(row[place]));
  });
  columns.Time = (columns.Time || []).map((text) => Date.parse(text));
  return columns;
}

function known(value) {
  if (Array.isArray(value)) return value.map(known);
  if (typeof value === "number") return value === FILL ? null : value;
  return BLANK.has(value) ? null : value;
}

/** Datasets that exist now, by id, with their span: {id: {start, stop}} is not given by the catalog, only the ids. */
export async function catalog(signal) {
  const body = await json("hapi/catalog", signal);
  return body.catalog.map((entry) => entry.id);
}

export function info(dataset, signal) {
  return json(`hapi/info?${new URLSearchParams({ dataset })}`, signal);
}

/**
 * The spectra of a pair: {times (ms, ends of windows), first, step (mHz), bins, phase (Int16, 0.01°), ratio (Int16, 0.001
 * of the natural logarithm), coherence (Uint8, 1/254)}, bin by bin of each window; -32768 and 255 are unknown.
 */
export async function spectra(pair, startMs, stopMs, signal) {
  const query = new URLSearchParams({ start: iso(startMs), stop: iso(stopMs) });
  const response = await fetch(`api/spectra/${encodeURIComponent(pair)}?${query}`, { signal, credentials: "same-origin" });
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return unpacked(await response.arrayBuffer());
}

export const NO_STEP = -32768;
export const NO_COHERENCE = 255;
const RECORD_BYTES = 16;
const HEAD_BYTES = 12;

export function unpacked(buffer) {
  const view = new DataView(buffer);
  const records = [];
  let bins = 0;
  let first = 0;
  let step = 0;
  for (let at = 0; at + RECORD_BYTES + HEAD_BYTES <= buffer.byteLength; ) {
    const length = view.getUint32(at + 12, true);
    const begin = at + RECORD_BYTES;
    const count = view.getUint16(begin + 2, true);
    records.push({ time: view.getFloat64(at, true), count, begin: begin + HEAD_BYTES });
    if (count > bins) {
      bins = count;
      first = view.getFloat32(begin + 4, true);
      step = view.getFloat32(begin + 8, true);
    }
    at = begin + length;
  }
  const made = {
    times: records.map((record) => record.time),
    first,
    step,
    bins,
    phase: new Int16Array(records.length * bins).fill(NO_STEP),
    ratio: new Int16Array(records.length * bins).fill(NO_STEP),
    coherence: new Uint8Array(records.length * bins).fill(NO_COHERENCE),
  };
  records.forEach(({ count, begin }, row) => {
    // Copied, because a record may begin at an odd byte.
    made.phase.set(new Int16Array(buffer.slice(begin, begin + 2 * count)), row * bins);
    made.ratio.set(new Int16Array(buffer.slice(begin + 2 * count, begin + 4 * count)), row * bins);
    made.coherence.set(new Uint8Array(buffer, begin + 4 * count, count), row * bins);
  });
  return made;
}

export function samples(source, startMs, stopMs, points, signal) {
  const query = new URLSearchParams({ start: iso(startMs), stop: iso(stopMs), points: String(points) });
  return json(`api/samples/${encodeURIComponent(source)}?${query}`, signal);
}
