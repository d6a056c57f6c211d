// Requests to the service this page came from. The key lives in this tab and goes nowhere else.
const field = document.getElementById("key");
field.value = sessionStorage.getItem("rerankd-key") ?? "";
field.addEventListener("change", () => sessionStorage.setItem("rerankd-key", field.value));

function headers(key) {
  const given = key ?? field.value;
  return given ? { authorization: `Bearer ${given}` } : {};
}

async function said(answer) {
  try {
    const body = await answer.json();
    return body.error?.message ?? body.detail ?? body.message;
  } catch {
    return null;
  }
}

async function refuse(answer) {
  const why = (await said(answer)) ?? answer.statusText;
  const hint = answer.status === 401 ? " Enter a key under “API key”." : "";
  throw new Error(`${why} (HTTP ${answer.status}).${hint}`);
}

export async function get(path, key) {
  const answer = await fetch(path, { headers: headers(key), cache: "no-store" });
  if (!answer.ok) await refuse(answer);
  return answer.json();
}

export async function send(method, path, body, key) {
  const answer = await fetch(path, {
    method,
    headers: { "content-type": "application/json", ...headers(key) },
    body: JSON.stringify(body),
  });
  if (!answer.ok) await refuse(answer);
  return answer.json();
}

// Server-sent events of a POST, one {name, data} at a time.
export async function* events(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers() },
    body: JSON.stringify(body),
  });
  if (!answer.ok) await refuse(answer);
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
