// Two orders side by side, with lines from where each text was to where it is.
import { element, rove, shape } from "./draw.js";

// `before`: texts in retrieval order. `after`: objects with text, was, score (null: not scored) and, where there is
// one, a note; best first. At most `most` rows a side: what comes from below them, or falls there, is seen to do so.
export function showOrder(place, { before, after, most = Infinity, titles = ["Retrieval order", "New order"] }) {
  const left = before.slice(0, most).map((text, index) => oldRow(text, index + 1, after));
  const right = after.slice(0, most).map((each, index) => newRow(each, index + 1));
  const lines = shape("svg", { class: "lines", "aria-hidden": "true" });
  const lists = [left, right].map((rows, side) => element("ol", { "aria-label": titles[side] }, ...rows));
  level([...lists, lines], Math.max(left.length, right.length));
  place.replaceChildren(
    element("div", { class: "orders" },
      element("h3", { class: "was" }, titles[0]), element("h3", { class: "is" }, titles[1]),
      lists[0], lines, lists[1]),
  );
  for (const list of lists) rove([...list.querySelectorAll("button")]);
  light(place.firstChild);
  draw(lines, left, right, after);
  // a row may be opened, the font larger, the window another size
  new ResizeObserver(() => draw(lines, left, right, after)).observe(lists[1]);
}

// The retrieval order alone, until there is a new one.
export function showCandidates(place, texts) {
  const rows = texts.map((text, index) => row(index + 1, text, "", `${index + 1}: ${text}`));
  const ghosts = texts.map((_, index) => element("li", { class: "ghost" }, index === 0 ? "Rerank shows it here" : ""));
  const lists = [
    element("ol", { "aria-label": "Retrieval order" }, ...rows),
    shape("svg", { class: "lines", "aria-hidden": "true" }),
    element("ol", { "aria-hidden": "true" }, ...ghosts),
  ];
  level(lists, texts.length);
  place.replaceChildren(
    element("div", { class: "orders" },
      element("h3", { class: "was" }, "Retrieval order"), element("h3", { class: "is" }, "New order"), ...lists));
  rove(rows.map((each) => each.querySelector("button")));
}

// Rows of the same rank are level with each other on both sides, however long their texts are.
function level(parts, rows) {
  for (const part of parts) part.style.gridRow = `2 / span ${Math.max(rows, 1)}`;
}

function direction(was, is) {
  return was > is ? "up" : was < is ? "down" : "same";
}

function oldRow(text, rank, after) {
  const is = after.findIndex((each) => each.was === rank) + 1;
  const made = row(rank, text, "", `${rank}, now ${is || "left out"}: ${text}`);
  made.dataset.was = rank;
  return made;
}

function newRow(each, rank) {
  const moved = each.was - rank;
  const way = direction(each.was, rank);
  const words = moved > 0 ? `up ${moved} from ${each.was}` : moved < 0 ? `down ${-moved} from ${each.was}` : "where it was";
  const score = each.score === null ? "not scored" : `score ${each.score.toFixed(3)}`;
  const made = row(rank, each.text, way, `${rank}, ${words}, ${score}: ${each.text}`, each.note);
  if (each.score === null) made.classList.add("unscored");
  const meter = element("span", { class: "score" }, each.score === null ? "not scored" : each.score.toFixed(3));
  if (each.score !== null) {
    const bar = element("span", { class: "bar" });
    bar.style.setProperty("--share", Math.max(each.score, 0.02));
    meter.append(bar);
  }
  const chip = element("span", { class: `move ${way}` }, moved > 0 ? `▲ ${moved}` : moved < 0 ? `▼ ${-moved}` : "");
  made.append(element("span", { class: "figures", "aria-hidden": "true" }, chip, meter));
  made.dataset.was = each.was;
  return made;
}

function row(rank, text, kind, said, note = null) {
  const button = element("button", { type: "button", class: "text", "aria-expanded": "false", "aria-label": said },
    element("span", { class: "words" }, text), note === null ? null : element("small", {}, note));
  const made = element("li", { class: kind }, element("span", { class: "rank", "aria-hidden": "true" }, String(rank)), button);
  button.addEventListener("click", () => button.setAttribute("aria-expanded", String(made.classList.toggle("whole"))));
  return made;
}

function draw(lines, left, right, after) {
  const frame = lines.getBoundingClientRect();
  if (!frame.width) return;
  const middle = (made) => {
    const box = made.getBoundingClientRect();
    return box.top + Math.min(box.height, 64) / 2 - frame.top;
  };
  const below = frame.height + 6;
  const [from, to] = [0, frame.width];
  lines.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const paths = after.flatMap((each, index) => {
    const [start, end] = [left[each.was - 1], right[index]];
    if (!start && !end) return [];
    const [y1, y2] = [start ? middle(start) : below, end ? middle(end) : below];
    const bend = frame.width * 0.5;
    const outside = start && end ? "" : " outside";
    const path = shape("path", {
      class: `${direction(each.was, index + 1)}${outside}`,
      d: `M${from} ${y1} C${from + bend} ${y1} ${to - bend} ${y2} ${to} ${y2}`,
    });
    path.dataset.was = each.was;
    return [path];
  });
  lines.replaceChildren(...paths);
}

// A row, the line from it and the row at its other end light up together.
function light(frame) {
  const choose = (was) => {
    frame.classList.toggle("lit", was !== undefined);
    for (const each of frame.querySelectorAll("[data-was]")) each.classList.toggle("hot", each.dataset.was === was);
  };
  const chosen = (event) => choose(event.target.closest("[data-was]")?.dataset.was);
  for (const kind of ["pointerover", "focusin"]) frame.addEventListener(kind, chosen);
  for (const kind of ["pointerleave", "focusout"]) frame.addEventListener(kind, () => choose(undefined));
}
