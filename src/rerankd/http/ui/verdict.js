// What came of a request: outcome and reason, depth, and where the time went, against the budget.
import { NO_LIMIT } from "./budget.js";
import { element, picture, shape, titled } from "./draw.js";
import { KIND, explain, ms, shortModel } from "./words.js";

// `answer`: outcome, reason, depth, total, elapsed_ms, budget_ms, model, and stages as [name, ms].
export function showVerdict(place, answer) {
  const share = answer.total ? answer.depth / answer.total : 1;
  const gauge = element("meter", { min: 0, max: 1, value: share, "aria-label": "Depth" });
  place.replaceChildren(
    element("div", { class: `card verdict ${KIND[answer.outcome]}` },
      element("div", { class: "outcome" },
        element("b", {}, answer.outcome),
        element("span", {}, explain(answer, answer.what))),
      element("div", { class: "fact" },
        element("span", {}, "depth"),
        element("b", {}, `${answer.depth} of ${answer.total}`),
        gauge),
      element("div", { class: "fact" },
        element("span", {}, "elapsed"),
        element("b", {}, ms(answer.elapsed_ms)),
        element("span", {}, answer.budget_ms < NO_LIMIT ? `of ${ms(answer.budget_ms)}` : "no limit")),
      element("div", { class: "fact" },
        element("span", {}, "model"),
        element("b", { class: "model" }, shortModel(answer.model))),
      element("div", { class: "stages" })),
  );
  showStages(place.querySelector(".stages"), answer);
}

// While it is under way.
export function showProgress(place, { depth, total, elapsed_ms }) {
  place.replaceChildren(
    element("div", { class: "card verdict" },
      element("div", { class: "outcome" }, element("b", {}, "so far"), element("span", {}, "the best order until now")),
      element("div", { class: "fact" }, element("span", {}, "depth"), element("b", {}, `${depth} of ${total}`),
        element("meter", { min: 0, max: 1, value: total ? depth / total : 1, "aria-label": "Depth" })),
      element("div", { class: "fact" }, element("span", {}, "elapsed"), element("b", {}, ms(elapsed_ms)))),
  );
}

function showStages(place, { stages, elapsed_ms, budget_ms }) {
  const [width, height] = [place.clientWidth || 600, 14];
  const whole = Math.max(elapsed_ms, budget_ms < NO_LIMIT ? budget_ms : 0, 0.1);
  const known = stages.reduce((sum, [, time]) => sum + time, 0);
  // stages of several workers overlap: they share what was elapsed, in proportion
  const scale = (width / whole) * Math.min(1, elapsed_ms / Math.max(known, 0.001));
  let at = 0;
  const bars = stages.map(([name, time], number) => {
    const bar = titled(shape("rect", { class: `stage-${number}`, x: at, y: 0, width: Math.max(time * scale, 1), height }), `${name}: ${ms(time)}`);
    at += time * scale;
    return bar;
  });
  const told = stages.map(([name, time]) => `${name} ${ms(time)}`).join(", ");
  place.replaceChildren(
    picture(width, height, `Time by stage: ${told}`, shape("rect", { class: "track", x: 0, y: 0, width, height }), ...bars),
    element("ul", { class: "legend", "aria-hidden": "true" },
      ...stages.map(([name, time], number) => element("li", {}, element("i", { class: `stage-${number}` }), `${name} `, element("b", {}, ms(time))))),
  );
}
