// Health: what the daemon hears, what it refuses, what waits, and which models are at work.

import { json } from "./data.js";
import { el, keepingFocus, refill } from "./dom.js";
import { newestTime } from "./now.js";
import { lasting, number, parsed, when } from "./text.js";

export class HealthView {
  constructor(root, _parameters, live) {
    this.live = live;
    this.root = root;
    this.cards = {};
    this.draw();
    this.fetchCards();
  }

  async fetchCards() {
    for (const kind of Object.keys(this.live.status?.models || {})) {
      this.cards[kind] = await json(`api/models/${encodeURIComponent(kind)}`).catch(() => null);
    }
    this.draw();
  }

  title() {
    return "Health";
  }

  onStatus() {
    this.draw();
  }

  onAgain() {
    this.fetchCards();
  }

  onProduct() {}

  destroy() {}

  draw() {
    if (this.live.status) keepingFocus(this.root, () => this.drawn(this.live.status));
  }

  drawn(status) {
    // What somebody has opened stays open.
    const open = new Set([...this.root.querySelectorAll("details[open]")].map((details) => details.dataset.card));
    refill(
      this.root,
      el(
        "div",
        { class: "health" },
        card("The daemon", daemon(status)),
        wideCard("Sources", sources(status)),
        card("Refused", pairsOf(status.rejected, "Nothing was refused.")),
        card("Models", models(status, this.cards)),
        card("Plugins", plugins(status)),
        card("Injected signals", injections(status)),
      ),
    );
    for (const details of this.root.querySelectorAll("details")) details.open = open.has(details.dataset.card);
  }
}

function card(title, ...children) {
  return el("section", { class: "card" }, el("h2", {}, title), children);
}

function wideCard(title, ...children) {
  const made = card(title, children);
  made.classList.add("wide");
  return made;
}

function facts(rows) {
  return el("dl", {}, rows.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function bytes(size) {
  return Number.isFinite(size) ? `${number(size / 1e6)} MB` : "–";
}

function daemon(status) {
  return [
    facts([
      ["state", `${status.state}${status.mqtt_connected ? "" : ", broker away"}${status.held_back ? ", broker held back" : ""}`],
      ["version", status.version],
      ["started", `${when(parsed(status.started))} UT`],
      ["read", status.as_of ? `${when(parsed(status.as_of), true)} UT` : "–"],
      ["store", `${bytes(status.store_bytes)}, ${bytes(status.store_free_bytes)} free`],
      ...Object.entries(status.queues).map(([name, depth]) => [`waiting: ${name}`, String(depth)]),
      ["samples too late", String(status.too_late_samples)],
    ]),
    status.reasons.length ? el("ul", { class: "reasons" }, status.reasons.map((reason) => el("li", {}, reason))) : null,
  ];
}

function sources(status) {
  const newest = newestTime(status);
  const rows = Object.entries(status.sources);
  if (!rows.length) return el("p", { class: "quiet" }, "Nothing has been heard yet.");
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the sources" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ["Source", "Health", "Last sample (UT)", "Behind the newest", "Coverage"].map((head) => el("th", { scope: "col" }, head)))),
      el(
        "tbody",
        {},
        rows.map(([name, source]) => {
          const last = parsed(source.last_sample);
          const health = source.health || "–";
          return el(
            "tr",
            { class: health === "offline" ? "stale" : null },
            el("th", { scope: "row" }, name),
            el("td", {}, el("span", { class: `badge ${health === "ok" ? "good" : health === "–" ? "none" : "warn"}` }, health === "ok" ? "✓ ok" : `! ${health}`)),
            el("td", {}, when(last, true)),
            el("td", {}, lasting((newest - last) / 1000)),
            el("td", {}, coverage(status, name)),
          );
        }),
      ),
    ),
  );
}

function coverage(status, station) {
  const found = Object.values(status.pairs)
    .map((pair) => pair && pair.coverage && pair.coverage[station])
    .filter(Number.isFinite);
  return found.length ? `${number(100 * Math.min(...found))} %` : "–";
}

function pairsOf(counts, nothing) {
  const rows = Object.entries(counts || {}).sort((one, other) => other[1] - one[1]);
  return rows.length ? facts(rows.map(([name, count]) => [name, String(count)])) : el("p", { class: "quiet" }, nothing);
}

function models(status, cards) {
  return [
    Object.entries(status.models).map(([kind, name]) => model(kind, name, cards[kind])),
    Object.entries(status.missing_models).length
      ? el("ul", { class: "reasons" }, Object.entries(status.missing_models).map(([kind, why]) => el("li", {}, `${kind}: ${why}`)))
      : null,
  ];
}

/** A model, and what its card says of it. */
function model(kind, name, card) {
  const facing = facts([[kind, name]]);
  if (!card) return facing;
  return el(
    "details",
    { "data-card": kind },
    el("summary", {}, `${kind}: ${name}`),
    el("p", {}, card.intended_use),
    el("ul", {}, card.data.map((source) => el("li", {}, `${source.split}: ${source.count} ${source.what}${source.synthetic ? " (synthetic)" : ""}`))),
    el("p", {}, "What is unknown, and limits:"),
    el("ul", {}, card.limits.map((limit) => el("li", {}, limit))),
    el("a", { href: `api/models/${encodeURIComponent(kind)}` }, "the whole card"),
  );
}

function plugins(status) {
  const rows = Object.entries(status.plugins || {});
  if (!rows.length) return el("p", { class: "quiet" }, "None is switched on.");
  return el(
    "dl",
    {},
    rows.map(([name, plugin]) => [
      el("dt", {}, name),
      el("dd", {}, `${plugin.kind || ""} ${plugin.state || ""}`, plugin.reason ? el("small", {}, ` ${plugin.reason}`) : null),
    ]),
  );
}

function injections(status) {
  const rows = Object.entries(status.injection || {});
  if (!rows.length) return el("p", { class: "quiet" }, "None is switched on.");
  return facts(rows.map(([name, known]) => [name, Object.entries(known).filter(([key]) => key !== "newest").map(([key, value]) => `${key} ${typeof value === "number" ? number(value) : value}`).join(", ")]));
}
