// The page: tabs, and how the model is.
import { find } from "./draw.js";
import { startLive } from "./live.js";
import { startMemory } from "./memory.js";
import { get } from "./service.js";
import { startTrying } from "./try.js";
import { shortModel } from "./words.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const watchers = { "tab-live": startLive(), "tab-memory": startMemory() };
startTrying();

function select(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    find(each.getAttribute("aria-controls")).hidden = !chosen;
    watchers[each.id]?.shown(chosen);
  }
  history.replaceState(null, "", tab.id === "tab-try" ? location.pathname : `#${tab.getAttribute("aria-controls")}`);
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(tabs[to % tabs.length]);
    tabs[to % tabs.length].focus();
  });
});
const wanted = tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash);
if (wanted) select(wanted);

// Until it is ready; afterwards the Live tab tells.
async function tellState() {
  const pill = find("pill");
  try {
    const status = await get("api/v1/status");
    const ready = status.model_state === "ready";
    pill.className = `pill ${ready ? "good" : "fair"}`;
    pill.textContent = ready ? `${shortModel(status.model)} on ${status.device}` : `model ${status.model_state}`;
    if (!ready) setTimeout(tellState, 1000);
  } catch (error) {
    pill.className = "pill poor";
    pill.textContent = error.message.includes("HTTP 401") ? "needs a key" : "no answer";
  }
}
find("key").addEventListener("change", tellState);
tellState();
