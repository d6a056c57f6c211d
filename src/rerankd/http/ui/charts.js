// The pictures of the Live tab, drawn for the width that they have.
import { picture, shape, titled } from "./draw.js";
import { count, ms } from "./words.js";

const AXIS = 34; // at the left, for the scale
const FOOT = 22; // below, for the words

function frame(place, height) {
  const width = Math.max(260, place.clientWidth);
  return { width, height, left: AXIS, right: width - 4, top: 10, base: height - FOOT };
}

function text(x, y, words, anchor = "start", kind = null) {
  return shape("text", { x, y, "text-anchor": anchor, class: kind }, words);
}

function scale({ left, right, top, base }, marks, most, unit) {
  return marks.flatMap((value) => {
    const y = base - (value / most) * (base - top);
    return [shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }), text(left - 6, y + 4, `${value}${unit}`, "end")];
  });
}

function minutes({ left, right, base }) {
  return [
    text(left, base + 16, "10 min ago"),
    text((left + right) / 2, base + 16, "5", "middle"),
    text(right, base + 16, "now", "end"),
  ];
}

// One bar for each range of latencies, with the percentiles and the budget as lines.
export function histogram(place, figures, budget) {
  const box = { ...frame(place, 220), top: 48 }; // above: the percentiles' names
  const { edges, counts } = figures;
  const most = Math.max(1, ...counts);
  const step = (box.right - box.left) / counts.length;
  const bars = counts.map((value, at) => {
    const tall = (value / most) * (box.base - box.top);
    const range = at === edges.length ? `over ${edges.at(-1)} ms` : `${at ? edges[at - 1] : 0} to ${edges[at]} ms`;
    const over = (at ? edges[at - 1] : 0) >= budget;
    return titled(
      shape("rect", { class: over ? "bar late" : "bar", x: box.left + at * step + 1.5, y: box.base - tall, width: step - 3, height: tall, rx: Math.min(3, tall / 2) }),
      `${range}: ${count(value, "request")}`,
    );
  });
  const words = edges.flatMap((edge, at) => (at % (step < 24 ? 4 : 2) === 1 ? [text(box.left + (at + 1) * step, box.base + 16, String(edge), "middle")] : []));
  const at = (value) => {
    const bar = edges.findIndex((edge) => value <= edge);
    if (bar < 0) return box.right - step / 2;
    const [low, high] = [bar ? edges[bar - 1] : 0, edges[bar]];
    return box.left + (bar + (value - low) / (high - low)) * step;
  };
  const marks = figures.count
    ? ["p50", "p95", "p99"].map((name, row) => shape("g", { class: "percentile" },
        titled(shape("line", { x1: at(figures[name]), x2: at(figures[name]), y1: 4 + 14 * row, y2: box.base }), `${name}: ${ms(figures[name])}`),
        at(figures[name]) < box.left + 70 // there is no room at its left
          ? text(at(figures[name]) + 5, 12 + 14 * row, `${name} ${ms(figures[name])}`)
          : text(at(figures[name]) - 5, 12 + 14 * row, `${name} ${ms(figures[name])}`, "end")))
    : [];
  const told = figures.count ? `p50 ${ms(figures.p50)}, p95 ${ms(figures.p95)}, p99 ${ms(figures.p99)}` : "no requests yet";
  return picture(box.width, box.height, `Latency: ${told}`,
    ...scale(box, [0, most], most, ""), ...bars,
    shape("line", { class: "edge", x1: at(budget), x2: at(budget), y1: box.top, y2: box.base }), ...marks, ...words);
}

// Stacked shares of each moment, the newest at the right end.
export function shares(place, columns, names, slots, title) {
  const box = frame(place, 220);
  const step = (box.right - box.left) / slots;
  const shapes = columns.flatMap((column, index) => {
    const whole = names.reduce((sum, name) => sum + (column[name] ?? 0), 0);
    const x = box.right - (columns.length - index) * step;
    let top = box.base;
    return names.flatMap((name) => {
      const part = column[name] ?? 0;
      if (!part) return [];
      const tall = (part / whole) * (box.base - box.top);
      top -= tall;
      return [titled(shape("rect", { class: name, x: x + 0.5, y: top, width: Math.max(1, step - 1), height: tall }), `${name}: ${part} of ${whole}`)];
    });
  });
  return picture(box.width, box.height, title, ...scale(box, [0, 50, 100], 100, "%"), ...shapes, ...minutes(box));
}

// A line over time with what is below it, the newest at the right end; null is a gap.
export function area(place, values, slots, { name, unit, most = null }) {
  const box = frame(place, 150);
  const seen = values.filter((value) => value !== null);
  const top = most ?? nice(Math.max(4, ...seen));
  const step = (box.right - box.left) / slots;
  const x = (index) => box.right - (values.length - index - 0.5) * step;
  const y = (value) => box.base - (value / top) * (box.base - box.top);
  const runs = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index === 0 || values[index - 1] === null) runs.push([]);
    runs.at(-1).push([x(index), y(value)]);
  });
  const line = (run) => run.map(([at, high]) => `${at.toFixed(1)} ${high.toFixed(1)}`).join("L");
  const shapes = runs.flatMap((run) => [
    shape("path", { class: "area", d: `M${run[0][0]} ${box.base}L${line(run)}L${run.at(-1)[0]} ${box.base}Z` }),
    shape("path", { class: "trace", d: `M${line(run)}h0.1` }),
    shape("circle", { class: "point", cx: run.at(-1)[0], cy: run.at(-1)[1], r: 3.5 }),
  ]);
  const newest = seen.length ? `${Math.round(seen.at(-1))}${unit} now, at most ${Math.round(Math.max(...seen))}${unit}` : "nothing yet";
  return picture(box.width, box.height, `${name}: ${newest}`, ...scale(box, [0, top / 2, top], top, unit.trim()), ...shapes, ...minutes(box));
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((each) => each * power).find((each) => each >= value && each % 2 === 0) ?? 10 * power;
}

// The circuit's states over the window, as they followed each other.
export function timeline(place, now, live) {
  const box = { ...frame(place, 64), left: 4, top: 6 };
  const whole = live.window_seconds * 1000;
  const at = (age) => box.right - ((box.right - box.left) * Math.min(age, whole)) / whole;
  let [from, state] = [whole, "closed"];
  const spans = [];
  for (const change of live.circuit) {
    spans.push([state, from, change.age_ms]);
    [from, state] = [change.age_ms, change.state];
  }
  spans.push([now, from, 0]);
  const shown = (name) => name.replace("_", "-");
  const bars = spans.map(([name, start, end]) => titled(
    shape("rect", { class: name, x: at(start), y: box.top, width: Math.max(1, at(end) - at(start)), height: 26, rx: 3 }),
    `${shown(name)} from ${Math.round(start / 1000)} s to ${Math.round(end / 1000)} s ago`));
  return picture(box.width, box.height, `Circuit: ${shown(now)} now, ${count(live.circuit.length, "change")} in ten minutes`,
    ...bars, ...minutes(box));
}
