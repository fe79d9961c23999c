// The pages are written by the server; this module signs in, keeps the page live, and asks before it acts.

const { prefix, page, csrf } = document.body.dataset;
const byId = (id) => document.getElementById(id);

// Signing in: a token from the fragment or the form becomes a cookie, and leaves the address at once.

async function signIn(token) {
  const answer = await fetch(`${prefix}/session`, {
    method: "POST", headers: { authorization: `Bearer ${token}` }, credentials: "same-origin",
  });
  if (answer.ok) return null;
  const problem = await answer.json().catch(() => ({}));
  return problem.detail ?? `The server answered ${answer.status}.`;
}

async function atTheDoor() {
  const form = byId("signin");
  const refusal = byId("refusal");
  const show = (text) => { refusal.textContent = text; refusal.hidden = !text; };
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  const here = location.pathname + location.search;
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const refused = await signIn(byId("token").value.trim());
    if (refused) show(refused); else location.replace(here);
  });
  if (token) {
    history.replaceState(null, "", here);
    const refused = await signIn(token);
    if (refused) show(refused); else location.reload();
    return;
  }
  // Whoever comes by a link from elsewhere has not sent the strict cookie yet.
  if (!sessionStorage.getItem("asked")) {
    sessionStorage.setItem("asked", "1");
    const known = await fetch(`${prefix}/session`, { credentials: "same-origin" });
    if (known.ok) location.replace(here);
  }
}

// Staying live: each new body is laid over the old one, so that focus, selection and what was opened stay.

const keyOf = (node) => node.nodeType === 1 ? node.dataset.key ?? (node.id || null) : null;

function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (old.nodeType === 3) { if (old.data !== fresh.data) old.data = fresh.data; return; }
  if (old.nodeType !== 1 || old.dataset.keep !== undefined) return;
  const edited = old.matches("input, textarea, select");
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (edited) return;
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const keyed = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    let match = key ? keyed.get(key) : at;
    if (!key && at && keyOf(at)) match = null;
    if (!match) { old.insertBefore(next, at); continue; }
    if (match !== at) old.insertBefore(match, at); else at = at.nextSibling;
    keyed.delete(key);
    morph(match, next);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

let source = null;

function status(state, text, goOn) {
  const pill = byId("status");
  if (pill.dataset.state === state && pill.lastElementChild.textContent === text) return;
  pill.dataset.state = state;
  const label = document.createElement("span");
  if (goOn) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", look);
    label.append(button);
  } else label.textContent = text;
  pill.lastElementChild.replaceWith(label);
}

function look() {
  source?.close();
  source = new EventSource(`${prefix}/live/${page}${location.search}`);
  source.addEventListener("open", () => status("live", "Live"));
  source.addEventListener("body", (event) => {
    status("live", "Live");
    const fresh = new DOMParser().parseFromString(`<main>${event.data}</main>`, "text/html").body.firstChild;
    morphChildren(byId("live"), fresh);
  });
  source.addEventListener("cost", (event) => { byId("cost").textContent = event.data; });
  source.addEventListener("lease-over", () => { rest(); status("stopped", "Paused, look again", true); });
  source.addEventListener("error", async () => {
    status("waiting", "Connecting");
    if (source?.readyState !== EventSource.CLOSED) return;
    const known = await fetch(`${prefix}/session`).catch(() => null);
    if (known && known.status === 401) location.reload();
    else setTimeout(() => { if (!document.hidden) look(); }, 3000);
  });
}

function rest() { source?.close(); source = null; }

// Acting: asked once, carried out once, and the answer said.

function toast(text, bad) {
  const said = byId("toast");
  said.textContent = text;
  said.hidden = false;
  if (bad) said.dataset.tone = "bad"; else delete said.dataset.tone;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { said.hidden = true; }, 6000);
}

function ask(text) {
  const dialog = byId("ask");
  byId("ask-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

async function act(form) {
  const fields = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
  // Taken now: while the question stands, a new body may make another button of this one.
  const asked = form.dataset.do;
  if (!(await ask(form.dataset.ask))) return;
  const answer = await fetch(`${prefix}/do/${asked}`, {
    method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf }, body: JSON.stringify(fields),
  }).catch(() => null);
  const said = answer ? await answer.json().catch(() => ({})) : {};
  if (answer?.ok) toast(said.said); else toast(said.detail ?? "The server does not answer.", true);
}

function inside() {
  sessionStorage.removeItem("asked");
  look();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) rest(); else if (!source) look();
  });
  document.addEventListener("submit", (submitted) => {
    if (!submitted.target.dataset.do) return;
    submitted.preventDefault();
    act(submitted.target);
  });
  document.addEventListener("toggle", (toggled) => {
    const path = toggled.target.dataset?.open;
    if (path === undefined) return;
    const query = new URLSearchParams(location.search);
    const open = new Set((query.get("open") ?? "").split(",").filter(Boolean));
    if (open.has(path) === toggled.target.open) return;
    if (toggled.target.open) open.add(path); else open.delete(path);
    query.set("open", [...open].join(","));
    history.replaceState(null, "", `?${query}`);
    look();
  }, true);
  byId("signout").addEventListener("click", async () => {
    await fetch(`${prefix}/session`, { method: "DELETE", headers: { "x-csrf-token": csrf } });
    location.assign(prefix);
  });
}

if (byId("signin")) atTheDoor(); else inside();
