// Memory: add, ask, and see which memories moved up.
import { budgetSlider } from "./budget.js";
import { element, find } from "./draw.js";
import { showOrder } from "./order.js";
import { get, kept, send } from "./service.js";
import { showVerdict } from "./verdict.js";
import { count } from "./words.js";

const NEAREST = 24;
const SHOWN = 8;
const STAGES = ["embed", "store", "rank", "open", "rerank"];
const OFF = "The memory is off here. Start the service with: rerankd serve --memory";
let conversations = [];
let budget = null;

export function startMemory() {
  kept(find("memory-key"), "rerankd-memory-key");
  kept(find("user"), "rerankd-user");
  budget = budgetSlider(find("memory-budget-field"), "memory-budget", () => !find("memory-order").hidden && ask());
  find("whose").addEventListener("submit", (event) => event.preventDefault());
  find("add").addEventListener("submit", submitted("add-said", addTyped));
  find("load").addEventListener("click", submitted("add-said", addSample));
  find("recall").addEventListener("submit", submitted("recall-said", askNow));
  find("forget").addEventListener("submit", submitted("forget-said", forget));
  find("conversation").addEventListener("change", chooseConversation);
  loadConversations();
  return { shown: (visible) => visible && tellState() };
}

async function tellState() {
  const place = find("memory-off");
  try {
    const { memory } = await get("api/v1/status");
    const words = { off: OFF, opening: "The memory is being opened …", failed: "The memory could not be opened, and is tried again; the service's log says why." };
    place.textContent = words[memory] ?? "";
    if (memory === "opening" || memory === "failed") setTimeout(tellState, 1000);
  } catch (error) {
    place.textContent = error.message;
  }
  place.hidden = !place.textContent;
}

async function loadConversations() {
  conversations = await (await fetch("ui/conversations.json")).json();
  find("conversation").replaceChildren(
    ...conversations.map((each, place) => element("option", { value: place }, `${each.user}, ${count(each.turns.length, "memory", "memories")}`)));
  const mine = conversations.findIndex((each) => each.user === find("user").value);
  find("conversation").value = String(Math.max(mine, 0));
  showQuestions();
}

function chosen() {
  return conversations[find("conversation").value];
}

function chooseConversation() {
  find("user").value = chosen().user;
  find("user").dispatchEvent(new Event("change"));
  showQuestions();
}

function showQuestions() {
  find("questions").replaceChildren(...chosen().questions.map((question) => {
    const chip = element("button", { type: "button", class: "chip" }, question);
    chip.addEventListener("click", () => {
      find("question").value = question;
      ask();
    });
    return chip;
  }));
}

// A handler that does `work`, and says what came of it, or why nothing did.
function submitted(said, work) {
  return async (event) => {
    event?.preventDefault();
    const place = find(said);
    const buttons = [...document.querySelectorAll("#memory button:not(.text)")];
    for (const each of buttons) each.disabled = true;
    place.classList.remove("done");
    place.textContent = "";
    try {
      const words = await work();
      place.classList.add("done");
      place.textContent = words ?? "";
    } catch (error) {
      place.textContent = error.message;
    } finally {
      for (const each of buttons) each.disabled = false;
    }
  };
}

const ask = submitted("recall-said", askNow);

function call(name, body) {
  return send("POST", `api/v1/memory/${name}`, { user_id: find("user").value, ...body }, find("memory-key").value);
}

async function add(memories) {
  const { ids } = await call("add", { memories });
  return `${count(ids.length, "memory", "memories")} added.`;
}

async function addTyped() {
  const lines = find("memories").value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) throw new Error("There is nothing to add: write a memory, one a line.");
  const said = await add(lines);
  find("memories").value = "";
  return said;
}

async function addSample() {
  find("user").value = chosen().user;
  return add(chosen().turns);
}

async function forget() {
  const done = await call("erase", {});
  find("memory-order").hidden = true;
  find("memory-verdict").replaceChildren();
  if (!done.known) return "There is no such user.";
  return `${count(done.rows, "memory", "memories")} erased. ${done.final ? "Final." : `Not final yet: ${done.remaining}.`}`;
}

async function askNow() {
  if (!find("recall").reportValidity()) return "";
  const wanted = { query: find("question").value, top_k: NEAREST, top_k_ann: NEAREST, budget_ms: budget() };
  const answer = await call("query", wanted);
  const place = find("memory-order");
  showVerdict(find("memory-verdict"), {
    ...answer,
    what: "memory",
    total: answer.candidates,
    elapsed_ms: answer.timings_ms.total,
    budget_ms: wanted.budget_ms,
    stages: STAGES.map((stage) => [stage, answer.timings_ms[stage]]),
  });
  place.hidden = !answer.results.length;
  if (!answer.results.length) return "Nothing is known of this user.";
  const nearest = [...answer.results].sort((one, other) => one.retrieval_rank - other.retrieval_rank);
  const day = new Intl.DateTimeFormat("en", { year: "numeric", month: "short", day: "numeric" });
  showOrder(place, {
    before: nearest.map((each) => each.text),
    after: answer.results.map((each) => ({
      text: each.text,
      was: nearest.indexOf(each) + 1,
      score: each.score,
      note: day.format(new Date(each.created_at)),
    })),
    most: SHOWN,
    titles: ["Nearest", "Best"],
  });
  const up = answer.results.slice(0, SHOWN).filter((each, index) => each.retrieval_rank > index + 1);
  const far = up.filter((each) => each.retrieval_rank > SHOWN).length;
  return `${count(up.length, "memory", "memories")} moved up${far ? `, ${far} from beyond the ${SHOWN} nearest` : ""}.`;
}
