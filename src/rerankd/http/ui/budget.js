// A slider over budgets that are worth telling apart.
import { element } from "./draw.js";

const BUDGETS = [10, 25, 50, 75, 100, 150, 250, 500, 1000, null];
const SHOWN = BUDGETS.map((ms) => (ms === null ? "∞" : ms === 1000 ? "1 s" : String(ms)));
export const NO_LIMIT = 10000;

// Makes the slider in `place`; gives a function that tells the chosen milliseconds. `released` hears a choice.
export function budgetSlider(place, id, released = () => {}) {
  const shown = element("output", { for: id });
  const slider = element("input", { id, type: "range", min: 0, max: BUDGETS.length - 1, step: 1, value: BUDGETS.indexOf(250) });
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" }, ...SHOWN.map((words) => element("span", {}, words)));
  const show = () => {
    const ms = BUDGETS[slider.value];
    const words = ms === null ? "as long as the server allows" : `${ms} ms`;
    shown.textContent = ms === null ? "no limit" : words;
    slider.setAttribute("aria-valuetext", words);
    [...ticks.children].forEach((tick, at) => tick.classList.toggle("chosen", at === Number(slider.value)));
  };
  slider.addEventListener("input", show);
  slider.addEventListener("change", released);
  show();
  place.replaceChildren(element("div", { class: "spread" }, element("label", { for: id }, "Budget"), shown), slider, ticks);
  return () => BUDGETS[slider.value] ?? NO_LIMIT;
}
