// The JavaScript client against the fixtures that the Python client obeys as well, on a clock that only the test moves.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { createRealtime, cursorStore, studentStore } from "../../gateway/client/kcactors.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../fixtures/kc_v1/${name}`, import.meta.url)));
const { scripts } = read("client.json");
const codes = read("close_codes.json");

class Timers {
  constructor() { this.now = 1_000_000; this.queue = new Map(); this.next = 1; }
  set(work, ms) { const id = this.next++; this.queue.set(id, { at: this.now + ms, work }); return id; }
  clear(id) { this.queue.delete(id); }
  async pass(ms) {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.queue].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.queue.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].work();
      await settle();
    }
    this.now = end;
  }
}

// Every promise that is ready runs before the next step is looked at.
async function settle() { for (let turn = 0; turn < 20; turn += 1) await Promise.resolve(); await new Promise((done) => setImmediate(done)); }

class Page extends EventTarget {
  constructor() { super(); this.document = new EventTarget(); }
  say(name) { this.dispatchEvent(new Event(name)); this.document.dispatchEvent(new Event(name)); }
}

class Stage {
  constructor(script = {}) {
    const stage = this;
    this.timers = new Timers();
    this.page = new Page();
    this.sockets = [];
    this.frames = [];
    this.seqs = [];
    this.forces = [];
    this.states = [];
    this.saved = script.cursor ?? null;
    this.errors = [];
    this.tokens = [];
    class Socket {
      constructor(url, protocols) { this.url = url; this.protocols = protocols; this.readyState = 0; stage.sockets.push(this); }
      send(text) { stage.frames.push(JSON.parse(text)); }
      close() { this.readyState = 3; }
    }
    this.rt = createRealtime({
      url: "ws://test/ws",
      getToken: async ({ force }) => { this.forces.push(force); if (this.tokens.length) throw this.tokens.shift(); return "jwt"; },
      getSnapshot: script.snapshot ? async () => script.snapshot : undefined,
      cursorStore: { load: () => this.saved, save: (cursor) => { this.saved = cursor; }, clear: () => { this.saved = null; } },
      WebSocket: Socket,
      page: this.page,
      random: () => 0.5,
      now: () => this.timers.now,
      setTimeout: (work, ms) => this.timers.set(work, ms),
      clearTimeout: (id) => this.timers.clear(id),
      ...script.options,
    });
    this.rt.on("business-event", (event) => { this.seqs.push(event.seq); });
    this.rt.on("state", (state) => this.states.push(state));
    this.rt.on("error", (error) => this.errors.push(error));
  }
  get socket() { return this.sockets.at(-1); }
  async play(step) {
    const [[verb, value]] = Object.entries(step);
    await this[verb](value);
    await settle();
  }
  connect() { this.rt.connect(); }
  opened() { this.socket.readyState = 1; this.socket.onopen(); }
  server(frame) { this.socket.onmessage({ data: JSON.stringify(frame) }); }
  raw(text) { this.socket.onmessage({ data: text }); }
  close(code) { this.socket.readyState = 3; this.socket.onclose({ code }); }
  async pass_ms(ms) { await this.timers.pass(ms); }
  sent(expected) {
    const found = this.frames.splice(0);
    assert.equal(found.length, expected.length, JSON.stringify(found));
    found.forEach((frame, index) => {
      for (const [key, value] of Object.entries(expected[index])) assert.deepEqual(frame[key], value);
    });
  }
  handled(expected) { assert.deepEqual(this.seqs.splice(0), expected); }
  state(expected) { assert.equal(this.rt.state, expected); }
  cursor(expected) { assert.deepEqual(this.saved, expected); }
  stopped(expected) { assert.equal(this.states.at(-1).code, expected); }
  // Named apart from the lists that they count.
  async look(step) { await this.play(step); }
}
const COUNTS = { sockets: (stage) => stage.sockets.length, tokens: (stage) => stage.forces };

async function play(stage, steps) {
  for (const [index, step] of steps.entries()) {
    const [[verb, value]] = Object.entries(step);
    try {
      if (verb in COUNTS) assert.deepEqual(COUNTS[verb](stage), value);
      else await stage.play(step);
    } catch (error) {
      error.message = `step ${index} ${JSON.stringify(step)}: ${error.message}`;
      throw error;
    }
  }
}

for (const script of scripts) test(script.name, async () => { await play(new Stage(script), script.steps); });

async function closedBy(code) {
  const stage = new Stage();
  await play(stage, [{ connect: true }, { opened: true }, { close: code }]);
  return stage;
}

for (const row of codes.codes) {
  test(`close ${row.code} ${row.reason}`, async () => {
    const stage = await closedBy(row.code);
    if (row.client === "stop") await play(stage, [{ state: "stopped" }, { pass_ms: 60_000 }, { sockets: 1 }]);
    else if (row.client === "reconnect") {
      const pause = Math.max(row.min_ms, 750);
      await play(stage, [{ state: "waiting" }, { pass_ms: pause - 1 }, { sockets: 1 }, { pass_ms: 1 }, { sockets: 2 }]);
    } else await play(stage, [{ sockets: 2 }, { tokens: [false, true] }]);
  });
}
for (const code of codes.others) {
  test(`close ${code} means come back`, async () => { await play(await closedBy(code), [{ pass_ms: 750 }, { sockets: 2 }]); });
}

const hello = (more = {}) => ({ server: { type: "connected", session: "s", epoch: "e1", head: 0, resume: "none", ping: 25, pong: 10, exp_in: 900, ...more } });
const event = (seq, more = {}) => ({ server: { type: "business-event", seq, epoch: "e1", event: "PURCHASE_CREATED", ...more } });
async function live(script) {
  const stage = new Stage(script);
  await play(stage, [{ connect: true }, { opened: true }, hello(), { state: "live" }]);
  return stage;
}

test("the token travels as a subprotocol, never in the address", async () => {
  const stage = await live();
  assert.deepEqual(stage.socket.protocols, ["kc.v1", "kc.bearer.jwt"]);
  assert.equal(stage.socket.url, "ws://test/ws");
});

test("what an older socket still says is ignored", async () => {
  const stage = await live();
  const old = stage.socket;
  await play(stage, [{ close: 1006 }, { pass_ms: 750 }, { opened: true }, hello({ resume: "ok" }), { server: { type: "caught-up", seq: 0 } }]);
  old.onmessage({ data: JSON.stringify(event(1).server) });
  old.onclose({ code: 4501 });
  await play(stage, [{ handled: [] }, { state: "live" }]);
});

test("handlers are awaited in order, and the cursor follows them", async () => {
  const stage = await live();
  const order = [];
  let free;
  stage.rt.on("business-event", async ({ seq }) => { if (seq === 1) await new Promise((done) => { free = done; }); order.push(seq); });
  await play(stage, [event(1), event(2), { cursor: { epoch: "e1", seq: 0 } }]);
  free();
  await settle();
  assert.deepEqual(order, [1, 2]);
  await play(stage, [{ cursor: { epoch: "e1", seq: 2 } }]);
});

test("a handler that throws is tried three times, then passed over", async () => {
  const stage = await live();
  let tries = 0;
  stage.rt.on("business-event", () => { tries += 1; throw new Error("no"); });
  await play(stage, [event(1), { cursor: { epoch: "e1", seq: 1 } }]);
  assert.equal(tries, 3);
  assert.equal(stage.errors.length, 1);
});

test("what was queued before a reset is void", async () => {
  const stage = await live();
  let free;
  stage.rt.on("business-event", () => new Promise((done) => { free = done; }));
  await play(stage, [event(1), event(2), { server: { type: "reset", epoch: "e2", head: 0, reason: "epoch", snapshot: { as_of_seq: 0, epoch: "e2" } } }]);
  free();
  await settle();
  await play(stage, [{ handled: [1] }, { cursor: { epoch: "e2", seq: 0 } }]);
});

test("waitFor finds what already came and what comes", async () => {
  const stage = await live();
  const late = stage.rt.waitFor((e) => e.correlation_id === "pay_2");
  await play(stage, [event(1, { correlation_id: "pay_1" }), event(2, { correlation_id: "pay_2" })]);
  assert.equal((await late).seq, 2);
  assert.equal((await stage.rt.waitFor((e) => e.correlation_id === "pay_1")).seq, 1);
  const never = stage.rt.waitFor(() => false, { timeoutMs: 100 });
  const outcome = assert.rejects(never, /100 ms/);
  await stage.timers.pass(100);
  await outcome;
});

test("ready resolves when live and gives up in time", async () => {
  const stage = new Stage();
  const ready = stage.rt.ready(1000);
  await play(stage, [{ connect: true }, { opened: true }, hello()]);
  await ready;
  await stage.rt.ready();
  const other = new Stage();
  const late = assert.rejects(other.rt.ready(50), /live/);
  await other.timers.pass(50);
  await late;
});

test("offline waits at once, online comes back at once", async () => {
  const stage = await live();
  stage.page.say("offline");
  await play(stage, [{ state: "waiting" }]);
  stage.page.say("online");
  await settle();
  await play(stage, [{ state: "connecting" }, { sockets: 2 }]);
});

for (const name of ["visibilitychange", "pageshow", "resume"]) {
  test(`a sleep that the timers slept through is noticed on ${name}`, async () => {
    const stage = await live();
    stage.timers.now += 120_000;
    stage.page.say(name);
    await play(stage, [{ state: "waiting" }]);
    const fresh = await live();
    fresh.page.say(name);
    await play(fresh, [{ state: "live" }, { sockets: 1 }]);
  });
}

test("a page that goes into the back/forward cache lets go, and comes back", async () => {
  const stage = await live();
  stage.page.say("pagehide");
  await play(stage, [{ state: "waiting" }]);
  stage.page.document.visibilityState = "hidden";
  stage.page.say("visibilitychange");
  await settle();
  await play(stage, [{ state: "waiting" }, { sockets: 1 }]);
  stage.page.say("pageshow");
  await settle();
  await play(stage, [{ sockets: 2 }]);
});

test("a token that cannot be had is asked for again later", async () => {
  const stage = new Stage();
  stage.tokens.push(new Error("offline"));
  await play(stage, [{ connect: true }, { state: "waiting" }, { sockets: 0 }, { pass_ms: 750 }, { sockets: 1 }]);
  assert.equal(stage.errors[0].message, "offline");
});

test("close is the end", async () => {
  const stage = await live();
  stage.rt.close();
  await play(stage, [{ state: "stopped" }, { pass_ms: 100_000 }, { sockets: 1 }]);
  stage.page.say("online");
  await settle();
  await play(stage, [{ sockets: 1 }]);
  assert.equal(stage.timers.queue.size, 0);
});

test("the status of the doorbell is told", async () => {
  const stage = await live();
  const told = [];
  stage.rt.on("status", (status) => told.push(status.live));
  await play(stage, [{ server: { type: "status", live: false, reason: "upstream" } }, { server: { type: "status", live: true } }, { state: "live" }]);
  assert.deepEqual(told, [false, true]);
});

test("the cursor store survives broken storage and broken content", () => {
  const kept = new Map();
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
  const store = cursorStore("k", storage);
  assert.equal(store.load(), null);
  store.save({ epoch: "e1", seq: 3 });
  assert.deepEqual(cursorStore("k", storage).load(), { epoch: "e1", seq: 3 });
  for (const broken of ["{", "7", '{"seq":"3","epoch":"e1"}', '{"seq":1.5,"epoch":"e1"}']) {
    kept.set("k", broken);
    assert.equal(cursorStore("k", storage).load(), null);
  }
  const denied = cursorStore("k", { getItem() { throw new Error("denied"); }, setItem() { throw new Error("denied"); }, removeItem() { throw new Error("denied"); } });
  denied.save({ epoch: "e1", seq: 4 });
  assert.deepEqual(denied.load(), { epoch: "e1", seq: 4 });
  denied.clear();
  assert.equal(denied.load(), null);
});

// Server-sent events, where no WebSocket comes through

class Streams {
  constructor() { this.asked = []; this.answers = []; }
  fetch = async (url, { headers, signal }) => {
    const ask = { url: String(url), headers, signal };
    this.asked.push(ask);
    const { status = 200, body = {} } = this.answers.shift() ?? {};
    if (status !== 200) return new Response(JSON.stringify(body), { status });
    return new Response(new ReadableStream({ start(controller) { ask.controller = controller; } }));
  };
  async say(...frames) {
    for (const frame of frames) this.asked.at(-1).controller.enqueue(new TextEncoder().encode(`id: x\ndata: ${JSON.stringify(frame)}\n\n`));
    await rest();
  }
  async end() { this.asked.at(-1).controller.close(); await rest(); }
}
async function rest() { for (let turn = 0; turn < 5; turn += 1) await settle(); }

const opened = (more = {}) => hello({ exp_in: 900, ...more }).server;

async function blocked(more = {}) {
  const streams = new Streams();
  const stage = new Stage({ options: { student: "s1", fetch: streams.fetch, ...more } });
  await play(stage, [{ connect: true }, { close: 1006 }, { pass_ms: 750 }, { close: 1006 }, { pass_ms: 1_000 }]);
  await rest();
  return { streams, stage };
}

test("after two WebSockets that never opened the stream takes over", async () => {
  const { streams, stage } = await blocked();
  assert.equal(streams.asked[0].url, "http://test/api/v1/students/s1/stream");
  assert.equal(streams.asked[0].headers.authorization, "Bearer jwt");
  await streams.say(opened(), event(1).server, event(2).server);
  await play(stage, [{ sockets: 2 }, { state: "live" }, { handled: [1, 2] }, { cursor: { epoch: "e1", seq: 2 } }]);
  // A WebSocket is tried again before the stream is, and the stream goes on where it was.
  await streams.end();
  await play(stage, [{ state: "waiting" }, { pass_ms: 20_500 }, { sockets: 3 }, { close: 1006 }, { pass_ms: 20_500 }]);
  await rest();
  assert.equal(streams.asked[1].headers["last-event-id"], "e1:2");
  await streams.say(opened({ resume: "ok", head: 3 }), event(3).server, { type: "caught-up", seq: 3 });
  await play(stage, [{ handled: [3] }, { state: "live" }]);
});

test("a gap on the stream is read again from the cursor", async () => {
  const { streams, stage } = await blocked();
  await streams.say(opened(), event(1).server, event(3).server);
  assert.equal(streams.asked.length, 2);
  assert.equal(streams.asked[0].signal.aborted, true);
  assert.equal(streams.asked[1].headers["last-event-id"], "e1:1");
  await streams.say(opened({ resume: "ok", head: 3 }), event(2).server, event(3).server, { type: "caught-up", seq: 3 });
  await play(stage, [{ handled: [1, 2, 3] }, { state: "live" }]);
});

test("a WebSocket that opened is never replaced", async () => {
  const streams = new Streams();
  const stage = new Stage({ options: { student: "s1", fetch: streams.fetch } });
  await play(stage, [{ connect: true }]);
  for (const pause of [750, 1_000, 1_500, 2_500, 4_500]) await play(stage, [{ opened: true }, { close: 1006 }, { pass_ms: pause }]);
  await play(stage, [{ sockets: 6 }]);
  assert.equal(streams.asked.length, 0);
});

test("without leave there is no stream", async () => {
  const { streams, stage } = await blocked({ transports: ["ws"] });
  await play(stage, [{ sockets: 3 }]);
  assert.equal(streams.asked.length, 0);
});

for (const [status, body, forces] of [[401, { code: "token_expired" }, [false, true]], [401, { code: "invalid_token" }, [false, true]], [503, {}, [false]], [429, {}, [false]]]) {
  test(`a stream refused with ${status} ${body.code ?? ""}`, async () => {
    const streams = new Streams();
    streams.answers.push({ status, body });
    const stage = new Stage({ options: { student: "s1", fetch: streams.fetch, transports: ["sse"] } });
    await play(stage, [{ connect: true }]);
    await rest();
    assert.deepEqual(stage.forces, forces);
    if (forces.length === 1) await play(stage, [{ state: "waiting" }, { pass_ms: status === 429 ? 4_999 : 749 }]);
    await rest();
    assert.equal(streams.asked.length, forces.length);
    await play(stage, [{ pass_ms: 1 }]);
    await rest();
    assert.equal(streams.asked.length, 2);
  });
}

test("close ends the stream", async () => {
  const { streams, stage } = await blocked();
  await streams.say(opened());
  stage.rt.close();
  await rest();
  assert.equal(streams.asked[0].signal.aborted, true);
  await play(stage, [{ pass_ms: 100_000 }, { state: "stopped" }]);
  assert.equal(streams.asked.length, 1);
});

// The small store of the screen

class Api {
  constructor() { this.asked = []; this.waiting = []; }
  learning = ({ minSeq, force }) => { this.asked.push(minSeq); assert.equal(force, true); return new Promise((resolve, reject) => this.waiting.push({ resolve, reject })); };
  async answer(as_of_seq) { this.waiting.shift().resolve({ as_of_seq, courses: [] }); await settle(); }
  async fail() { this.waiting.shift().reject(new Error("away")); await settle(); }
}

test("an event voids the view and one forced refetch brings it", async () => {
  const stage = await live();
  const api = new Api();
  const store = studentStore({ realtime: stage.rt, fetchLearning: api.learning, fetchHome: async () => ({ n: 1 }) });
  await play(stage, [event(1, { event: "PURCHASE_CREATED" })]);
  assert.deepEqual(api.asked, [1]);
  assert.equal(store.value.stale, true);
  await play(stage, [event(2, { event: "COURSE_PURCHASED" }), event(3, { event: "COURSE_ACCESS_GRANTED" })]);
  assert.deepEqual(api.asked, [1]);
  await api.answer(1);
  assert.deepEqual(api.asked, [1, 3]);
  assert.equal(store.value.stale, true);
  await api.answer(3);
  assert.deepEqual([store.value.stale, store.value.learning.as_of_seq, store.value.home.n], [false, 3, 1]);
  await play(stage, [event(4, { event: "SOMETHING_NEW" })]);
  assert.deepEqual(api.asked, [1, 3]);
});

test("a refetch that failed is made again when the connection is live again", async () => {
  const stage = await live();
  const api = new Api();
  const store = studentStore({ realtime: stage.rt, fetchLearning: api.learning });
  const seen = [];
  store.subscribe((value) => seen.push(value));
  await play(stage, [event(1)]);
  await api.fail();
  assert.equal(store.value.error.message, "away");
  await play(stage, [{ close: 1006 }, { pass_ms: 750 }, { opened: true }, hello({ resume: "ok", head: 1 }), { server: { type: "caught-up", seq: 1 } }]);
  assert.deepEqual(api.asked, [1, 1]);
  await api.answer(1);
  assert.equal(store.value.error, null);
  assert.ok(seen.length > 2);
});

test("a reset brings its own view", async () => {
  const stage = await live();
  const store = studentStore({ realtime: stage.rt, fetchLearning: () => assert.fail("not needed") });
  const snapshot = { as_of_seq: 7, epoch: "e2", courses: [{ title: "A" }] };
  await play(stage, [{ server: { type: "reset", epoch: "e2", head: 7, reason: "epoch", snapshot } }]);
  assert.deepEqual(store.value.learning, snapshot);
  store.close();
});
