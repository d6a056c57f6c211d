// Try it: a query, candidates, a budget; both orders side by side.
import { NO_LIMIT, budgetSlider } from "./budget.js";
import { element, find } from "./draw.js";
import { showCandidates, showOrder } from "./order.js";
import { events, send } from "./service.js";
import { showProgress, showVerdict } from "./verdict.js";

const STAGES = ["queue", "tokenize", "inference", "refine", "order"];
let samples = [];
let budget = () => NO_LIMIT;
let answered = false;

export function startTrying() {
  budget = budgetSlider(find("budget-field"), "budget", () => answered && attempt(plain));
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(plain);
  });
  find("stream").addEventListener("click", () => find("ask").reportValidity() && attempt(streamed));
  find("sample").addEventListener("change", (event) => showSample(event.target.value));
  find("candidates").addEventListener("change", fresh);
  loadSamples();
}

async function loadSamples() {
  samples = await (await fetch("ui/samples.json")).json();
  find("sample").replaceChildren(...samples.map((each, place) => element("option", { value: place }, each.query)));
  if (!find("query").value) showSample(0);
}

function showSample(place) {
  find("query").value = samples[place].query;
  find("candidates").value = samples[place].candidates.join("\n");
  fresh();
}

function candidates() {
  return find("candidates").value.split("\n").map((line) => line.trim()).filter(Boolean);
}

// Another question: what is on show is of the last one.
function fresh() {
  answered = false;
  find("verdict").replaceChildren();
  showCandidates(find("order"), candidates());
}

async function attempt(way) {
  const buttons = find("ask").querySelectorAll("button");
  for (const each of buttons) each.disabled = true;
  find("said").textContent = "";
  try {
    await way({ query: find("query").value, candidates: candidates(), budget_ms: budget() });
    answered = true;
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
      showProgress(find("verdict"), { ...data, total: data.candidates_total });
      order(body, data);
    }
  }
}

function show(body, answer) {
  showVerdict(find("verdict"), {
    ...answer,
    total: answer.candidates_total,
    budget_ms: body.budget_ms,
    stages: STAGES.map((stage) => [stage, answer.timings_ms[stage]]),
  });
  order(body, answer);
}

function order(body, answer) {
  const after = answer.results.map((each) => ({ text: each.text, was: each.retrieval_rank, score: each.scored ? each.score : null }));
  showOrder(find("order"), { before: body.candidates, after });
}
