// Shows openapi.json: every route, its body and its answers. No library, no other host.
import { element } from "./draw.js";

const main = document.getElementById("main");

function named(schema, schemas) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? { name, ...schemas[name] } : (schema ?? {});
}

function typeOf(schema, schemas) {
  const found = named(schema, schemas);
  if (found.name) return found.name;
  if (found.anyOf) return found.anyOf.map((each) => typeOf(each, schemas)).join(" or ");
  if (found.enum) return found.enum.map((each) => JSON.stringify(each)).join(" | ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.type === "array") return `list of ${typeOf(found.items, schemas)}`;
  return found.type ?? "anything";
}

function limits(schema) {
  const words = { minLength: "at least", maxLength: "at most", minimum: "from", maximum: "to", maxItems: "at most", minItems: "at least" };
  const units = { minLength: " characters", maxLength: " characters", maxItems: " items", minItems: " items" };
  return Object.entries(words).filter(([key]) => schema[key] !== undefined).map(([key, word]) => `${word} ${schema[key]}${units[key] ?? ""}`).join(", ");
}

function fields(schema, schemas) {
  const found = named(schema, schemas);
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties ?? {}).map(([name, each]) =>
    element("tr", {},
      element("td", {}, element("code", {}, name), required.has(name) ? " (required)" : ""),
      element("td", {}, typeOf(each, schemas)),
      element("td", {}, [named(each, schemas).description, limits(each)].filter(Boolean).join(" "))));
  if (!rows.length) return element("p", {}, typeOf(schema, schemas));
  const head = element("tr", {}, ...["field", "type", "meaning"].map((word) => element("th", { scope: "col" }, word)));
  return element("table", {}, element("caption", {}, found.name ?? ""), element("thead", {}, head), element("tbody", {}, ...rows));
}

function bodies(schema, schemas) {
  const choices = schema.anyOf ?? [schema];
  return choices.map((each) => fields(each.type === "array" ? each.items : each, schemas));
}

function operation(path, method, described, schemas) {
  const parts = [element("p", {}, described.description ?? "")];
  const asked = described.requestBody?.content["application/json"]?.schema;
  if (asked) parts.push(element("h3", {}, "Request"), ...bodies(asked, schemas));
  const given = described.responses["200"]?.content?.["application/json"]?.schema;
  if (given) parts.push(element("h3", {}, "Answer"), ...bodies(given, schemas));
  const statuses = Object.entries(described.responses).map(([status, each]) =>
    element("tr", {}, element("td", {}, status), element("td", {}, each.description ?? "")));
  parts.push(element("h3", {}, "Statuses"), element("table", {}, element("tbody", {}, ...statuses)));
  return element("details", { id: described.operationId },
    element("summary", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), " ",
      element("code", {}, path), " ", element("span", {}, described.summary ?? "")), ...parts);
}

const described = await (await fetch("openapi.json")).json();
const schemas = described.components.schemas;
const operations = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, each]) => operation(path, method, each, schemas)));
main.classList.add("api");
main.replaceChildren(
  element("p", {}, described.info.description),
  element("p", {}, "Every answer of a rerank route carries x-rerank-outcome, x-rerank-reason, x-rerank-depth, x-rerank-elapsed-ms, x-rerank-model and server-timing. Where keys are used: Authorization: Bearer KEY."),
  ...operations,
);
