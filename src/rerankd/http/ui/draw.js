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

export function tile(value, name, kind = "") {
  return element("div", { class: `tile ${kind}` }, element("b", {}, String(value)), element("span", {}, name));
}

export function picture(width, height, title, ...children) {
  return shape(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, width: "100%" },
    ...children,
  );
}

// One bar for each value; `labels` under some of them; a dashed line at `mark`, a place between 0 and 1.
export function bars(title, values, labels, mark = null) {
  const [width, height, base] = [520, 170, 140];
  const most = Math.max(1, ...values);
  const step = width / values.length;
  const shapes = values.map((value, place) => {
    const tall = (value / most) * (base - 16);
    const bar = shape("rect", { class: "bar", x: place * step + 1, y: base - tall, width: step - 2, height: tall });
    bar.append(shape("title", {}, `${labels[place]}: ${value}`));
    return bar;
  });
  const words = labels.map((label, place) =>
    place % 3 === 0 ? shape("text", { x: place * step + 2, y: base + 16 }, label) : null,
  );
  const line = mark === null ? null : shape("line", { class: "edge", x1: mark * width, x2: mark * width, y1: 4, y2: base });
  return picture(width, height, title, shape("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }), ...shapes, line, ...words);
}

// Stacked shares, one column a moment.
export function stacked(title, columns, names) {
  const [width, height, base] = [520, 170, 150];
  const most = Math.max(1, ...columns.map((column) => names.reduce((sum, name) => sum + (column[name] ?? 0), 0)));
  const step = width / Math.max(columns.length, 12);
  const shapes = [];
  columns.forEach((column, place) => {
    let top = base;
    for (const name of names) {
      const tall = ((column[name] ?? 0) / most) * (base - 14);
      top -= tall;
      if (tall > 0) shapes.push(shape("rect", { class: name, x: place * step + 1, y: top, width: step - 2, height: tall }));
    }
  });
  return picture(width, height, title, shape("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }),
    shape("text", { x: 2, y: 12 }, `${most} in 10 s`), ...shapes);
}

// A line over time; null is a gap.
export function trace(title, values, most, unit) {
  const [width, height, base] = [520, 120, 100];
  const step = width / Math.max(values.length - 1, 11);
  let path = "";
  let drawing = false;
  values.forEach((value, place) => {
    if (value === null) {
      drawing = false;
      return;
    }
    path += `${drawing ? "L" : "M"}${(place * step).toFixed(1)} ${(base - (value / most) * (base - 14)).toFixed(1)}`;
    if (!drawing) path += "h0.1";
    drawing = true;
  });
  return picture(width, height, title, shape("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }),
    shape("text", { x: 2, y: 12 }, `${most}${unit}`), shape("path", { class: "trace", d: path }));
}
