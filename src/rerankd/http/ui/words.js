// How numbers, outcomes and reasons are said.
export const OUTCOMES = ["reranked", "partial", "skipped"];
export const KIND = { reranked: "good", partial: "fair", skipped: "poor" };

const REASONS = {
  disabled: "the flag is off",
  shadow: "in shadow mode all is done, and the retrieval order is answered",
  model_unavailable: "there is no model; it is tried again",
  model_loading: "the model is still loading",
  circuit_open: "the model failed too often just now, and is left alone for a moment",
  rate_limited: "this key is over its rate",
  budget_too_small: "not one candidate fits into the budget",
  overloaded: "nothing would fit behind what is waiting",
  model_error: "the model failed",
  nonfinite_score: "the model gave no finite score",
  deadline: "the time was up before the rest was scored",
};

export function explain(answer, what = "candidate") {
  if (!answer.reason) return `every ${what} was scored`;
  return REASONS[answer.reason] ?? answer.reason.replaceAll("_", " ");
}

export function ms(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function shortModel(name) {
  return name ? name.split("/").at(-1) : "no model";
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
