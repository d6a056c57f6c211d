// The page: tabs, and what belongs to all of them.
import { startTrying } from "./try.js";
import { startLive } from "./live.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const started = { live: startLive() };
startTrying();

function select(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  started.live.shown(tab.id === "tab-live");
  history.replaceState(null, "", tab.id === "tab-try" ? location.pathname : `#${tab.getAttribute("aria-controls")}`);
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const shown = tabs.filter((each) => !each.hidden);
    const next = shown[(shown.indexOf(tab) + step + shown.length) % shown.length];
    select(next);
    next.focus();
  });
}
const wanted = tabs.find((tab) => !tab.hidden && `#${tab.getAttribute("aria-controls")}` === location.hash);
if (wanted) select(wanted);
