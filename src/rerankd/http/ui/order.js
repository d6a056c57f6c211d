// Retrieval order and new order side by side, with lines between them.
import { element, shape } from "./draw.js";

const HEIGHT = 61.6; // a row and its gap, in CSS pixels at the usual size

export function showOrder(place, texts, answer) {
  const results = answer.results;
  const moved = (each) => each.retrieval_rank - each.rank;
  const left = texts.map((text, index) => row(index + 1, text, null, "", results.find((each) => each.retrieval_rank === index + 1)));
  const right = results.map((each) => row(each.rank, each.text, each, direction(moved(each)), each));
  const tall = Math.max(texts.length, results.length) * HEIGHT;
  const lines = results.map((each) => {
    const [from, to] = [(each.retrieval_rank - 0.5) * HEIGHT - 3, (each.rank - 0.5) * HEIGHT - 3];
    return shape("path", { class: direction(moved(each)), d: `M2 ${from} C40 ${from} 40 ${to} 78 ${to}` });
  });
  const svg = shape("svg", { class: "lines", viewBox: `0 0 80 ${tall}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...lines);
  svg.style.height = `${tall}px`;
  place.replaceChildren(
    element("div", { class: "orders" },
      element("h2", {}, "Retrieval order"), element("h2", {}, "New order"),
      element("ol", { "aria-label": "Retrieval order" }, ...left),
      svg,
      element("ol", { "aria-label": "New order" }, ...right)),
  );
}

function direction(moved) {
  return moved > 0 ? "up" : moved < 0 ? "down" : "";
}

function row(rank, text, result, kind, found) {
  const unscored = result && !result.scored ? " unscored" : "";
  const item = element("li", { class: `${kind}${unscored}`, title: text },
    element("span", { class: "rank" }, String(rank)),
    element("span", { class: "text" }, text));
  if (result) {
    const moved = result.retrieval_rank - result.rank;
    const arrow = moved > 0 ? `▲ ${moved}` : moved < 0 ? `▼ ${-moved}` : "";
    const words = moved > 0 ? `, up ${moved}` : moved < 0 ? `, down ${-moved}` : "";
    item.append(element("span", { class: "score" },
      element("b", { "aria-hidden": "true" }, arrow), " ",
      result.scored ? result.score.toFixed(3) : "not scored",
      element("span", { class: "visually-hidden" }, words)));
  } else if (!found) {
    item.classList.add("unscored");
  }
  return item;
}
