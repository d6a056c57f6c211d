// Try it: a query, candidates, a budget; both orders side by side.
import { element, shape, picture, tile } from "./draw.js";
import { showOrder } from "./order.js";
import { events, send } from "./service.js";

const BUDGETS = [10, 25, 50, 75, 100, 150, 250, 500, 1000, null];
const find = (id) => document.getElementById(id);
const KIND = { reranked: "good", partial: "fair", skipped: "poor" };
const STAGES = ["queue", "tokenize", "inference", "order"];

export function startTrying() {
  const [form, budget] = [find("ask"), find("budget")];
  budget.addEventListener("input", showBudget);
  showBudget();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(plain);
  });
  find("stream").addEventListener("click", () => form.reportValidity() && attempt(streamed));
  find("sample").addEventListener("change", (event) => showSample(event.target.value));
  loadSamples();
}

function showBudget() {
  const ms = BUDGETS[find("budget").value];
  const words = ms === null ? "as long as allowed" : `${ms} ms`;
  find("budget-shown").textContent = words;
  find("budget").setAttribute("aria-valuetext", words);
}

let samples = [];

async function loadSamples() {
  samples = await (await fetch("ui/samples.json")).json();
  find("sample").replaceChildren(...samples.map((each, place) => element("option", { value: place }, each.query)));
  if (!find("query").value) showSample(0);
}

function showSample(place) {
  find("query").value = samples[place].query;
  find("candidates").value = samples[place].candidates.join("\n");
}

function asked() {
  const candidates = find("candidates").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const ms = BUDGETS[find("budget").value];
  const body = { query: find("query").value, candidates };
  return ms === null ? { ...body, budget_ms: 10000 } : { ...body, budget_ms: ms };
}

async function attempt(way) {
  const buttons = find("ask").querySelectorAll("button");
  for (const each of buttons) each.disabled = true;
  find("said").textContent = "";
  try {
    await way(asked());
  } catch (error) {
    find("said").textContent = error.message;
  } finally {
    for (const each of buttons) each.disabled = false;
  }
}

async function plain(body) {
  show(body, await send("POST", "api/v1/rerank", body));
}

async function streamed(body) {
  for await (const { name, data } of events("api/v1/rerank", { ...body, stream: true })) {
    if (name === "answer") show(body, data);
    else {
      verdict([tile(`${data.depth} of ${data.candidates_total}`, "scored so far"), tile(ms(data.elapsed_ms), "since you asked")]);
      showOrder(find("order"), body.candidates, data);
    }
  }
}

const ms = (value) => `${value.toFixed(1)} ms`;

function verdict(tiles) {
  find("verdict").hidden = false;
  find("verdict").replaceChildren(...tiles);
}

function show(body, answer) {
  verdict([
    tile(answer.outcome, answer.reason ? `because: ${answer.reason.replaceAll("_", " ")}` : "outcome", KIND[answer.outcome]),
    tile(`${answer.depth} of ${answer.candidates_total}`, "candidates scored"),
    tile(ms(answer.elapsed_ms), `of ${body.budget_ms} ms`),
    tile(answer.model ?? "none", "model"),
  ]);
  showOrder(find("order"), body.candidates, answer);
  showStages(answer.timings_ms, answer.elapsed_ms);
}

function showStages(timings, whole) {
  let at = 0;
  const most = Math.max(whole, 0.1);
  const shapes = STAGES.flatMap((stage, place) => {
    const wide = (Math.min(timings[stage], most) / most) * 500;
    const bar = shape("rect", { class: "bar", x: at, y: 8, width: Math.max(wide, 0.5), height: 22, opacity: 1 - place * 0.2 });
    bar.append(shape("title", {}, `${stage}: ${ms(timings[stage])}`));
    at = Math.min(at + wide, 500);
    return [bar];
  });
  find("stages").replaceChildren(
    element("h2", { class: "visually-hidden" }, "Time by stage"),
    picture(500, 38, "Time by stage", ...shapes),
    element("p", { class: "legend" }, ...STAGES.map((stage) => element("span", {}, `${stage} ${ms(timings[stage])}`))),
  );
}

