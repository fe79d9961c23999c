// The learning page: shows the student's courses and keeps them true while it is open.
import { createRealtime, studentStore } from "/assets/kcactors.js";

const student = document.body.dataset.student;
const element = (id) => document.getElementById(id);
const api = `/api/v1/students/${student}`;
const tokenKey = `kcactors:token:${student}`;

// The token leaves the address bar at once, so that it is in no history, screenshot or shared link.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(tokenKey, given);
  history.replaceState(null, "", location.pathname + location.search);
}
const token = () => sessionStorage.getItem(tokenKey) ?? "";

async function ask(path, options = {}) {
  const response = await fetch(path, {
    ...options, cache: "no-store", headers: { authorization: `Bearer ${token()}`, ...options.headers },
  });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail ?? body.title), { status: response.status });
  return body;
}

const realtime = createRealtime({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  student,
  name: "learning-page",
  getToken: async () => token(),
  // The page draws from a fresh view at every load, so it needs no cursor from an earlier one.
  cursorStore: memoryCursor(),
  getSnapshot: () => ask(`${api}/learning`),
});
const store = studentStore({
  realtime,
  fetchLearning: ({ minSeq }) => ask(`${api}/learning?min_seq=${minSeq}`),
  fetchHome: () => ask(`${api}/home`),
});

function memoryCursor() {
  let cursor = null;
  return { load: () => cursor, save: (next) => { cursor = next; }, clear: () => { cursor = null; } };
}

// Status

const WORDS = { live: "Live", "catching-up": "Catching up", connecting: "Connecting", waiting: "Offline", stopped: "Signed out" };
const STOPS = { 4504: "This account is open in too many windows.", 4503: "Access was withdrawn.", 4500: "Please sign in again." };
let upstream = true;

function showStatus() {
  const state = realtime.state;
  const shown = state === "live" && !upstream ? "catching-up" : state;
  element("status").dataset.state = { connecting: "catching-up", waiting: "offline", idle: "offline" }[shown] ?? shown;
  element("status").querySelector("span").textContent = WORDS[shown] ?? "Offline";
}
realtime.on("state", ({ state, code }) => {
  if (state !== "live") upstream = true;
  showStatus();
  if (state === "stopped" && code) notice(STOPS[code] ?? "This page has to be loaded again.");
});
realtime.on("status", ({ live }) => { upstream = live; showStatus(); });

function notice(text) {
  element("notice").textContent = text;
  element("notice").hidden = !text;
}

// Courses

const cards = new Map();
let drawn = false;

const BADGES = {
  active: ["Ready", "ready"], waitlisted: ["On the waiting list", "waiting"], pending: ["Finding a trainer", "waiting"],
  refunded: ["Refunded", "ended"], revoked: ["Ended", "ended"], on_hold: ["On hold", "waiting"],
};

function draw(view) {
  const list = element("courses");
  if (!drawn) list.replaceChildren();
  for (const course of view.courses) {
    let card = cards.get(course.course_id);
    const text = JSON.stringify(course);
    if (!card) {
      card = element("course-template").content.firstElementChild.cloneNode(true);
      card.dataset.course = course.course_id;
      cards.set(course.course_id, card);
      list.append(card);
      if (drawn) card.classList.add("arrived");
    } else if (card.dataset.seen !== text) {
      card.classList.remove("arrived", "changed");
      void card.offsetWidth;
      card.classList.add("changed");
    }
    card.dataset.seen = text;
    fill(card, course);
  }
  for (const [id, card] of cards) {
    if (!view.courses.some((course) => course.course_id === id)) { card.remove(); cards.delete(id); }
  }
  drawn = true;
  list.setAttribute("aria-busy", "false");
  element("empty").hidden = cards.size > 0;
}

function fill(card, course) {
  const find = (name) => card.querySelector(`.${name}`);
  const [word, kind] = BADGES[course.status] ?? [course.status, ""];
  find("title").textContent = course.title;
  find("badge").textContent = word;
  find("badge").dataset.kind = kind;
  const name = course.trainer?.name;
  find("avatar").textContent = name ? name.split(/\s+/).map((part) => part[0]).slice(0, 2).join("").toUpperCase() : "…";
  const ended = kind === "ended";
  find("trainer").hidden = ended;
  find("sessions").hidden = ended;
  find("trainer-name").textContent = name ?? "Your trainer is shown here soon";
  const total = course.sessions_total ?? 0;
  const left = course.sessions_left ?? total;
  find("bar").firstElementChild.style.width = total ? `${(100 * left) / total}%` : "0";
  find("count").textContent = total ? `${left} of ${total} sessions left` : "Sessions are planned soon";
}

store.subscribe(({ learning, error }) => {
  if (learning) draw(learning);
  if (error?.status === 401) { notice("Please sign in again."); realtime.close(); }
});

// Checkout, in development

async function openShop() {
  const offers = await ask("/dev/courses");
  for (const offer of offers) {
    const row = element("offer-template").content.firstElementChild.cloneNode(true);
    row.querySelector(".offer-title").textContent = offer.title;
    const button = row.querySelector("button");
    button.dataset.course = offer.course_id;
    button.setAttribute("aria-label", `Buy 10 sessions of ${offer.title}`);
    button.addEventListener("click", () => buy(button, offer));
    element("offers").append(row);
  }
}

async function buy(button, offer) {
  button.disabled = true;
  const before = button.textContent;
  button.textContent = "Paying…";
  try {
    const paid = await ask("/dev/checkout", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ student_id: student, course_id: offer.course_id, tier: 10 }),
    });
    button.textContent = "Paid, waiting…";
    await realtime.waitFor((event) => event.correlation_id === paid.payment_id);
    notice("");
  } catch (error) {
    notice(error.message);
  } finally {
    button.disabled = false;
    button.textContent = before;
  }
}

if (!token()) {
  notice("Open this page with the link from your account: it carries your sign-in.");
  element("courses").replaceChildren();
} else {
  realtime.connect();
  if ("dev" in document.body.dataset) openShop().catch((error) => notice(error.message));
}
showStatus();
