// Requests to the service this page came from. Keys live in this tab and go nowhere else.
const page = document.getElementById("key");
kept(page, "rerankd-key");
document.getElementById("key-form").addEventListener("submit", (event) => event.preventDefault());

// A field whose content outlives a reload of this tab, and not the tab.
export function kept(field, name) {
  field.value = sessionStorage.getItem(name) ?? field.value;
  field.addEventListener("change", () => sessionStorage.setItem(name, field.value));
}

function headers(key) {
  const given = key || page.value;
  return given ? { authorization: `Bearer ${given}` } : {};
}

async function refuse(answer) {
  let said = null;
  try {
    const body = await answer.json();
    said = body.error?.message ?? body.detail ?? body.message;
  } catch {
    // a body of something in between, which is no JSON
  }
  throw new Error(`${said ?? answer.statusText} (HTTP ${answer.status}).`);
}

async function ask(method, path, body, key) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      cache: "no-store",
      headers: body === undefined ? headers(key) : { "content-type": "application/json", ...headers(key) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The service does not answer.");
  }
  if (!answer.ok) await refuse(answer);
  return answer;
}

export async function get(path) {
  return (await ask("GET", path)).json();
}

export async function send(method, path, body, key) {
  return (await ask(method, path, body, key)).json();
}

// Server-sent events of a POST, one {name, data} at a time.
export async function* events(path, body) {
  const answer = await ask("POST", path, body);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [name, data] = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      yield { name: name.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) };
    }
  }
}
