// Elements from values. Text is only ever set as text: nothing that came from outside becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `el("p", {class: "x", onclick: f}, "text", child)`; children that are null or false are left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** Put children in the place of all that a node holds. */
export function refill(node, ...children) {
  node.replaceChildren();
  return fill(node, {}, children);
}

/** Draw something anew without taking the keyboard's place away: what had the focus, or its successor, has it again. */
export function keepingFocus(root, draw) {
  const active = document.activeElement;
  const key = active && active !== root && root.contains(active) ? keyOf(active) : null;
  draw();
  if (key === null || root.contains(document.activeElement)) return;
  const successor = [...root.querySelectorAll("a, button, summary, [tabindex]")].find((node) => keyOf(node) === key);
  if (successor) successor.focus({ preventScroll: true });
}

function keyOf(node) {
  return [node.tagName, node.getAttribute("href"), node.getAttribute("aria-label"), node.tabIndex < 0 || node.childElementCount ? "" : node.textContent].join(" ");
}

/** A value of the style sheet, as it is in the present theme. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
