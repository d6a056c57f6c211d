// Elements and SVG shapes. Texts are set as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const find = (id) => document.getElementById(id);

// An SVG of so many CSS pixels; `title` is what a screen reader says of it.
export function picture(width, height, title, ...children) {
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title }, ...children);
}

export function titled(made, words) {
  made.append(shape("title", {}, words));
  return made;
}

// Lets the arrow keys move among `items`, of which the tab key reaches one.
export function rove(items, { vertical = true } = {}) {
  const [back, on] = vertical ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  items.forEach((item, place) => {
    item.tabIndex = place === 0 ? 0 : -1;
    item.addEventListener("keydown", (event) => {
      const to = { [back]: place - 1, [on]: place + 1, Home: 0, End: items.length - 1 }[event.key];
      if (to === undefined || !items[to]) return;
      event.preventDefault();
      item.tabIndex = -1;
      items[to].tabIndex = 0;
      items[to].focus();
    });
  });
}
