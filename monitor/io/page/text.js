// Numbers and times as people read them. Times are UTC everywhere.

export const UNKNOWN = "–";

/** Four significant digits, without an exponent where that can be read; – where there is no number. */
export function number(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 1);
  const decimals = size === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(decimals, 6));
}

export function interval(ends, digits = 3) {
  return Array.isArray(ends) && ends.every(Number.isFinite) ? `${number(ends[0], digits)}–${number(ends[1], digits)}` : "";
}

export function percent(share) {
  return Number.isFinite(share) ? `${Math.round(share * 100)} %` : UNKNOWN;
}

/** `2017-09-07 12:00` of a time in ms; with seconds where they are wanted. */
export function when(ms, seconds = false) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  return new Date(ms).toISOString().slice(0, seconds ? 19 : 16).replace("T", " ");
}

export function iso(ms) {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

/** The time (ms) of an ISO text; NaN where it is none. */
export function parsed(text) {
  return typeof text === "string" ? Date.parse(text) : NaN;
}

/** `3 min`, `2 h`, `5 d`. */
export function lasting(seconds) {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  const size = Math.max(0, seconds);
  if (size < 120) return `${Math.round(size)} s`;
  if (size < 7200) return `${Math.round(size / 60)} min`;
  if (size < 172800) return `${Math.round(size / 3600)} h`;
  return `${Math.round(size / 86400)} d`;
}

export function ago(ms, now = Date.now()) {
  return Number.isFinite(ms) ? `${lasting((now - ms) / 1000)} ago` : UNKNOWN;
}

export function clock(hours) {
  if (!Number.isFinite(hours)) return UNKNOWN;
  const minutes = Math.round(hours * 60) % 1440;
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}
