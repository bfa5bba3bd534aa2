// The page: which view, of what, and what it is told. The address says it all, so that it can be handed on.

import { CraftView } from "./craft.js";
import { refill } from "./dom.js";
import { HealthView } from "./health.js";
import { Live } from "./live.js";
import { NowView } from "./now.js";
import { PairView } from "./pair.js";
import { when } from "./text.js";

const VIEWS = { now: NowView, pair: PairView, craft: CraftView, health: HealthView };
// What a view calls its kind of product, in the address.
const PLACES = { flr: "pair", region: "craft" };

const root = document.getElementById("view");
const state = document.getElementById("state");
const live = new Live();
let view = null;
let shownAddress = null;

/** `#/pair/TAR-BRZ?hours=24` → {name, subject, query}. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, subject = ""] = path.split("/");
  return { name: name in VIEWS ? name : "now", subject: decoded(subject), query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function navigate(kind, subject, parameters, quietly = false) {
  const hash = `#/${PLACES[kind]}/${encodeURIComponent(subject)}?${new URLSearchParams(parameters)}`;
  if (quietly) {
    history.replaceState(null, "", hash);
    shownAddress = location.hash;
  } else {
    location.hash = hash;
  }
}

function show() {
  if (view && location.hash === shownAddress) return;
  shownAddress = location.hash;
  const { name, subject, query } = address();
  if (view) view.destroy();
  view = new VIEWS[name](root, { subject, query }, live, navigate);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.title()} · geospace-monitor`;
  root.dataset.view = name;
}

function drawState() {
  const status = live.status;
  const away = !live.connected;
  document.documentElement.classList.toggle("away", away);
  let text = "connecting …";
  if (away && live.heard) text = `no word from the daemon since ${when(live.heard, true)} UT: all of this is old`;
  else if (!away && status) text = status.reasons.length ? `degraded: ${status.reasons[0]}` : "online";
  const level = away ? "bad" : status && status.reasons.length ? "warn" : "good";
  if (state.textContent !== text) refill(state, text);
  state.className = level;
}

function drawClock() {
  document.getElementById("clock").textContent = `${when(Date.now(), true)} UT`;
  drawState();
}

// -- light and dark --------------------------------------------------------------------------------------------------

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const chosen = stored();
  document.documentElement.dataset.shown = chosen || (prefersDark.matches ? "dark" : "light");
  if (view) {
    shownAddress = null;
    show();
  }
}

function stored() {
  try {
    const chosen = localStorage.getItem("theme");
    return chosen === "dark" || chosen === "light" ? chosen : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

document.getElementById("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.shown === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", next);
  } catch {
    // then it lasts until the page is left
  }
  document.documentElement.dataset.shown = next;
  if (view) {
    shownAddress = null;
    show();
  }
});
prefersDark.addEventListener("change", applyTheme);

// -- what is told ------------------------------------------------------------------------------------------------------

live.addEventListener("status", () => {
  drawState();
  // Views of a subject need to know what there is.
  if (!view) show();
  else view.onStatus();
});
live.addEventListener("product", ({ detail }) => view && view.onProduct(detail));
live.addEventListener("again", () => view && view.onAgain());
live.addEventListener("link", drawState);
addEventListener("hashchange", show);
applyTheme();
setInterval(drawClock, 1000);
drawClock();
