// Live: how the service is doing, and the flag.
import { area, histogram, shares, timeline } from "./charts.js";
import { element, find } from "./draw.js";
import { get, send } from "./service.js";
import { OUTCOMES, count, ms, shortModel } from "./words.js";

const EVERY_MS = 2000;
const STATES = { closed: "good", half_open: "fair", open: "poor" };

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

function tile(name, value, more, kind = "") {
  return element("div", { class: `card tile ${kind}` }, element("span", {}, name), element("b", {}, value), element("small", {}, more));
}

function showState(status, live) {
  const { p50, p95, p99, count: requests } = live.latency_ms;
  const newest = live.buckets.slice(-6);
  const lately = newest.reduce((sum, bucket) => sum + total(bucket), 0);
  const model = status.model_state === "ready"
    ? `ready on ${status.device}, ${count(status.workers, "worker")}`
    : `${status.model_state}${status.error ? `: ${status.error}` : ""}`;
  const percentile = (name, value) => element("span", {}, element("b", {}, requests ? ms(value) : "-"), element("small", {}, name));
  find("state").replaceChildren(
    tile("model", shortModel(status.model), model, status.model_state === "ready" ? "model good" : "model poor"),
    element("div", { class: "card tile latency" }, element("span", {}, "latency"),
      element("div", { class: "percentiles" }, percentile("p50", p50), percentile("p95", p95), percentile("p99", p99))),
    tile("requests", (lately / (newest.length * live.bucket_seconds)).toFixed(1), "a second, in the last minute"),
    tile("queue", String(status.queue_pairs), `pairs waiting; ${status.busy} of ${count(status.workers, "worker")} busy`),
    tile("circuit", status.circuit.replace("_", "-"), status.circuit === "closed" ? "the model is asked" : "the model is spared", STATES[status.circuit]),
    tile("flag", status.flag.mode, `for ${status.flag.percent} %, kept in ${status.flag_source}`, status.flag.mode === "on" ? "good" : "fair"),
  );
  find("flag-now").textContent = `${status.flag.mode} for ${status.flag.percent} % now`;
  if (!find("flag").contains(document.activeElement)) {
    find("flag").elements.mode.value = status.flag.mode;
    find("percent").value = status.flag.percent;
  }
}

function total(bucket) {
  return OUTCOMES.reduce((sum, outcome) => sum + (bucket.outcomes[outcome] ?? 0), 0);
}

function legend(...items) {
  return element("ul", { class: "legend" }, ...items);
}

function showCharts(status, live) {
  const figures = live.latency_ms;
  const budget = status.limits.default_budget_ms;
  const slots = live.window_seconds / live.bucket_seconds;
  find("latency").replaceChildren(
    histogram(find("latency"), figures, budget),
    legend(element("li", {}, count(figures.count, "request")), element("li", {}, element("i", { class: "edge" }), `default budget ${budget} ms`)),
  );
  const whole = live.buckets.reduce((sum, bucket) => sum + total(bucket), 0);
  const share = (name) => live.buckets.reduce((sum, bucket) => sum + (bucket.outcomes[name] ?? 0), 0) / Math.max(whole, 1);
  const told = OUTCOMES.map((name) => `${name} ${Math.round(share(name) * 100)} %`);
  find("outcomes").replaceChildren(
    shares(find("outcomes"), live.buckets.map((bucket) => bucket.outcomes), OUTCOMES, slots, `Outcomes: ${told.join(", ")}`),
    legend(...OUTCOMES.map((name, place) => element("li", {}, element("i", { class: name }), told[place]))),
  );
  const depths = live.buckets.map((bucket) => (bucket.depth_ratio === null ? null : bucket.depth_ratio * 100));
  find("depth").replaceChildren(area(find("depth"), depths, slots, { name: "Depth", unit: " %", most: 100 }));
  find("queue").replaceChildren(area(find("queue"), live.buckets.map((bucket) => bucket.queue_pairs), slots, { name: "Pairs waiting", unit: "" }));
  find("circuit").replaceChildren(
    timeline(find("circuit"), status.circuit, live),
    legend(...["closed", "half_open", "open"].map((state) => element("li", {}, element("i", { class: state }), state.replace("_", "-")))),
  );
}

async function setFlag(event) {
  event.preventDefault();
  const form = event.target;
  const said = find("flag-said");
  const wanted = { mode: form.elements.mode.value, percent: Number(find("percent").value) };
  said.classList.remove("done");
  try {
    const flag = await send("PUT", "admin/flag", wanted, find("admin").value);
    said.classList.add("done");
    said.textContent = `The flag is ${flag.mode} for ${flag.percent} % now.`;
    refresh();
  } catch (error) {
    said.textContent = error.message;
  }
}
