// Live: how the service is doing, and the flag.
import { bars, element, picture, shape, stacked, tile, trace } from "./draw.js";
import { get, send } from "./service.js";

const EVERY_MS = 2000;
const OUTCOMES = ["reranked", "partial", "skipped"];
const STATES = { closed: "good", half_open: "fair", open: "poor" };
const find = (id) => document.getElementById(id);

export function startLive() {
  let timer = null;
  find("flag").addEventListener("submit", setFlag);
  return {
    shown(visible) {
      clearInterval(timer);
      timer = null;
      if (!visible) return;
      refresh();
      timer = setInterval(refresh, EVERY_MS);
    },
  };
}

async function refresh() {
  try {
    const [status, live] = await Promise.all([get("api/v1/status"), get("api/v1/live")]);
    find("live-said").textContent = "";
    showState(status, live);
    showCharts(status, live);
  } catch (error) {
    find("live-said").textContent = error.message;
  }
}

function showState(status, live) {
  const latency = live.latency_ms;
  find("state").replaceChildren(
    tile(status.model ?? "none", `model: ${status.model_state}${status.error ? ` (${status.error})` : ""}`, status.model_state === "ready" ? "good" : "poor"),
    tile(status.device ?? "none", `device, ${status.workers} workers, ${status.busy} busy`),
    tile(`${latency.p50.toFixed(0)} / ${latency.p95.toFixed(0)} / ${latency.p99.toFixed(0)} ms`, "p50 / p95 / p99"),
    tile(status.circuit.replace("_", "-"), "circuit", STATES[status.circuit]),
    tile(status.queue_pairs, "pairs waiting"),
    tile(`${status.flag.mode} ${status.flag.percent} %`, `flag, kept in ${status.flag_source}`),
  );
  find("flag-now").textContent = `(now ${status.flag.mode} for ${status.flag.percent} %)`;
  if (!find("flag").contains(document.activeElement)) {
    find("flag").elements.mode.value = status.flag.mode;
    find("percent").value = status.flag.percent;
  }
}

function showCharts(status, live) {
  const { edges, counts, count } = live.latency_ms;
  const labels = [...edges.map((edge) => `≤ ${edge}`), `> ${edges.at(-1)}`];
  const budget = edges.findIndex((edge) => edge >= status.limits.default_budget_ms) + 1;
  find("latency").replaceChildren(
    bars(`Latency of ${count} requests, in milliseconds`, counts, labels, budget ? budget / counts.length : null),
    element("p", { class: "legend" }, `${count} requests; the dashed line is the default budget, ${status.limits.default_budget_ms} ms`),
  );
  find("outcomes").replaceChildren(
    stacked("Outcomes over time", live.buckets.map((bucket) => bucket.outcomes), OUTCOMES),
    element("p", { class: "legend" }, ...OUTCOMES.map((name) => element("span", {}, element("i", { class: name }), `${name} ${share(live, name)}`))),
  );
  find("depth").replaceChildren(trace("Depth over time", live.buckets.map((bucket) => (bucket.depth_ratio === null ? null : bucket.depth_ratio * 100)), 100, " %"));
  const queue = live.buckets.map((bucket) => bucket.queue_pairs);
  find("queue").replaceChildren(trace("Pairs waiting over time", queue, Math.max(1, ...queue), " pairs"));
  find("circuit").replaceChildren(timeline(status.circuit, live));
}

function share(live, name) {
  const total = live.buckets.reduce((sum, bucket) => sum + OUTCOMES.reduce((each, outcome) => each + (bucket.outcomes[outcome] ?? 0), 0), 0);
  const own = live.buckets.reduce((sum, bucket) => sum + (bucket.outcomes[name] ?? 0), 0);
  return total ? `${((own / total) * 100).toFixed(0)} %` : "0 %";
}

function timeline(now, live) {
  const [width, whole] = [1060, live.window_seconds * 1000];
  const at = (age) => width * (1 - Math.min(age, whole) / whole);
  let [from, state] = [whole, "closed"];
  const spans = [];
  for (const change of live.circuit) {
    spans.push([state, from, change.age_ms]);
    [from, state] = [change.age_ms, change.state];
  }
  spans.push([now, from, 0]);
  const shapes = spans.map(([name, start, end]) => {
    const bar = shape("rect", { class: name, x: at(start), y: 6, width: Math.max(1, at(end) - at(start)), height: 22 });
    bar.append(shape("title", {}, `${name.replace("_", "-")} from ${Math.round(start / 1000)} s to ${Math.round(end / 1000)} s ago`));
    return bar;
  });
  return picture(width, 48, `Circuit: ${now.replace("_", "-")} now`, ...shapes,
    shape("text", { x: 0, y: 44 }, "10 minutes ago"), shape("text", { x: width - 24, y: 44 }, "now"));
}

async function setFlag(event) {
  event.preventDefault();
  const form = event.target;
  const wanted = { mode: form.elements.mode.value, percent: Number(find("percent").value) };
  try {
    const flag = await send("PUT", "admin/flag", wanted, find("admin").value);
    find("flag-said").textContent = `The flag is ${flag.mode} for ${flag.percent} % now.`;
    refresh();
  } catch (error) {
    find("flag-said").textContent = error.message;
  }
}
