// Speaks kc.v1: every event of one student's log, once and in order, through sleep, tunnels and deploys.
// One ES module without dependencies. Types are in kcactors.d.ts.

const MIN_MS = 500;
const MAX_MS = 20_000;
const STABLE_MS = 10_000; // so long live before the attempts are forgotten: accept-then-close loops still back off
const HEAL_MS = 5_000;
const TAIL_MS = 2_000;
const ACK_MS = 1_000;
const SLACK_MS = 10_000;
const TRIES = 3;
const RECENT = 64;

// Close code to policy; every code that is not here means: come back with backoff.
const CLOSES = {
  4001: ["refresh"],
  4002: ["reconnect", 1_000], 4003: ["reconnect", 1_000], 4004: ["reconnect", 1_000], 4005: ["reconnect", 1_000],
  4006: ["reconnect", 1_000], 4007: ["reconnect", 5_000],
  4500: ["refresh_once"], 4501: ["stop"], 4502: ["stop"], 4503: ["stop"], 4504: ["stop"],
};

/** Keeps the cursor in localStorage, or in memory where that is refused. */
export function cursorStore(key, storage) {
  let memory = null;
  const attempt = (work) => { try { return work(storage ?? globalThis.localStorage); } catch { return undefined; } };
  return {
    load() {
      const text = attempt((s) => s.getItem(key));
      if (text === undefined) return memory;
      try {
        const cursor = JSON.parse(text);
        return Number.isSafeInteger(cursor?.seq) && typeof cursor.epoch === "string" ? cursor : memory;
      } catch { return memory; }
    },
    save(cursor) { memory = cursor; attempt((s) => s.setItem(key, JSON.stringify(cursor))); },
    clear() { memory = null; attempt((s) => s.removeItem(key)); },
  };
}

// The same log as server-sent events behind a WebSocket's face, for networks that let no WebSocket through. It cannot
// acknowledge; a sync reads again from the cursor.
function eventStream(url, token, ask) {
  let reading = null;
  const face = {
    readyState: 1,
    send(text) {
      const { type, since } = JSON.parse(text);
      if (type === "connect" || type === "sync") read(since);
    },
    close() { face.readyState = 3; reading?.abort(); },
  };
  async function read(since) {
    reading?.abort();
    const mine = (reading = new AbortController());
    const headers = { authorization: `Bearer ${token}` };
    if (since) headers["last-event-id"] = `${since.epoch}:${since.seq}`;
    let code = 1006;
    try {
      const answer = await ask(url, { headers, signal: mine.signal, cache: "no-store" });
      if (answer.ok) await hear(answer.body.pipeThrough(new TextDecoderStream()).getReader(), mine);
      else if (answer.status === 429) code = 4007;
      else if (answer.status === 401 || answer.status === 403) code = (await answer.json()).code === "token_expired" ? 4001 : 4500;
    } catch { /* the connection broke */ }
    if (mine === reading && face.readyState === 1) { face.readyState = 3; face.onclose({ code }); }
  }
  async function hear(texts, mine) {
    let rest = "";
    for (;;) {
      const { done, value } = await texts.read();
      if (done || mine !== reading) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").find((line) => line.startsWith("data: "));
        if (data && mine === reading) face.onmessage({ data: data.slice(6) });
      }
    }
  }
  queueMicrotask(() => face.onopen());
  return face;
}

/** A resumable connection. See kcactors.d.ts for the options and events. */
export function createRealtime(options) {
  const { getToken, getSnapshot, random = Math.random } = options;
  const now = options.now ?? (() => Date.now());
  const later = options.setTimeout ?? ((work, ms) => setTimeout(work, ms));
  const drop = options.clearTimeout ?? ((timer) => clearTimeout(timer));
  const page = options.page ?? globalThis;
  const kinds = options.transports ?? ["ws", "sse"];
  const store = options.cursorStore ?? cursorStore(`kcactors:${options.student ?? ""}`);
  const listeners = new Map();
  const timers = new Map();
  const recent = [];
  const held = new Map();

  let state = "idle";
  let attempt = 0;
  let socket = null;      // the current transport; whatever an older one still says is ignored
  let session = null;     // the frame that opened it
  let last = null;        // how the newest transport went: { sse, opened }
  let refused = 0;        // WebSockets in a row that never opened
  let epoch = null;
  let seen = null;        // last seq taken into the queue
  let handled = null;     // last seq whose handlers are done
  let acked = 0;
  let tail = 0;           // highest head that we were told of
  let heardAt = 0;
  let hint = null;        // pause that the server asked for
  let forced = false;     // a 4500 was answered with a fresh token once
  let work = Promise.resolve();
  let generation = 0;     // counts resets: what was queued before one is void

  const timer = (name, ms, act) => {
    drop(timers.get(name));
    timers.set(name, later(() => { timers.delete(name); act(); }, ms));
  };
  const cancel = (...names) => { for (const name of names) { drop(timers.get(name)); timers.delete(name); } };
  const emit = (type, value) => { for (const act of listeners.get(type) ?? []) { try { act(value); } catch (error) { console.error(error); } } };
  const send = (frame) => { if (session && socket?.readyState === 1) socket.send(JSON.stringify(frame)); };

  function become(next, more = {}) {
    if (state === next && !more.retryInMs) return;
    state = next;
    if (next === "live") timer("stable", STABLE_MS, () => { attempt = 0; forced = false; });
    else cancel("stable");
    emit("state", { state, attempt, ...more });
  }

  // Connecting

  async function open(force) {
    cancel("retry");
    const mine = (socket = { readyState: 0 });
    become("connecting");
    watch(SLACK_MS * 2);
    let token;
    try { token = await getToken({ force: Boolean(force) }); } catch (error) {
      if (mine === socket) { emit("error", error); retry(); }
      return;
    }
    if (mine !== socket) return;
    const cursor = store.load();
    ({ epoch, seq: seen } = cursor ?? { epoch: null, seq: null });
    handled = seen;
    acked = seen ?? 0;
    held.clear();
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (last) refused = last.opened ? Number(last.sse) : last.sse ? 0 : refused + 1;
    const sse = kinds.includes("sse") && Boolean(options.student) && (refused > 1 || !kinds.includes("ws"));
    const how = (last = { sse, opened: false });
    let next;
    try { next = sse ? eventStream(streamUrl(), token, options.fetch ?? fetch) : new Socket(options.url, ["kc.v1", `kc.bearer.${token}`]); } catch (error) { emit("error", error); retry(); return; }
    socket = next;
    next.onopen = () => {
      if (next !== socket) return;
      how.opened = !sse;
      const frame = { type: "connect", client: { name: options.name ?? "web", version: "1" } };
      if (cursor) frame.since = { epoch, seq: seen };
      next.send(JSON.stringify(frame));
    };
    next.onmessage = (message) => { if (next === socket) receive(message.data); };
    next.onclose = (event) => { if (next === socket) closed(event.code); };
    next.onerror = () => {};
  }

  const streamUrl = () => new URL(`/api/v1/students/${options.student}/stream`, options.url.replace(/^ws/, "http"));

  function leave() {
    const old = socket;
    socket = session = null;
    cancel("watchdog", "heal", "tail", "refresh", "ack");
    try { old?.close?.(1000); } catch { /* it never opened */ }
  }

  function retry(atLeast = 0) {
    leave();
    const ms = hint ?? Math.max(atLeast, MIN_MS + random() * Math.min(MAX_MS, MIN_MS * 2 ** attempt));
    hint = null;
    attempt += 1;
    become("waiting", { retryInMs: Math.round(ms) });
    timer("retry", Math.min(ms, MAX_MS + MIN_MS), () => open());
  }

  function stop(code) {
    leave();
    cancel("retry");
    if (code === 4503) store.clear();
    become("stopped", { code });
  }

  function closed(code) {
    const [policy, atLeast] = CLOSES[code] ?? ["reconnect"];
    if (policy === "stop" || (policy === "refresh_once" && forced)) return stop(code);
    if (policy === "reconnect") return retry(atLeast);
    leave();
    if (policy === "refresh_once") forced = true;
    if (attempt++ > 2) return retry();
    open(true);
  }

  function watch(ms) {
    heardAt = now();
    timer("watchdog", ms, wake);
  }

  // Timers sleep with the tab, so everything that may end a sleep looks at the clock itself.
  function wake() {
    if (state === "waiting") { cancel("retry"); open(); }
    else if (!socket) return;
    else if (now() - heardAt >= silence()) retry();
    else timer("watchdog", silence() - (now() - heardAt), wake);
  }
  const silence = () => (session?.ping ?? 10) * 1000 + SLACK_MS;

  function offline() {
    if (state === "idle" || state === "stopped") return;
    leave();
    cancel("retry");
    become("waiting", { retryInMs: MAX_MS });
    timer("retry", MAX_MS, () => open());
  }

  // Frames

  function receive(text) {
    let frame;
    try { frame = JSON.parse(text); } catch { return; }
    watch(silence());
    const act = frames[frame?.type];
    if (act) act(frame);
  }

  const frames = {
    connected(frame) {
      session = frame;
      last.opened = true;
      tail = frame.head;
      become("catching-up");
      refreshIn(frame.exp_in);
      if (frame.resume === "none") begin(frame);
    },
    "business-event"(frame) {
      if (epoch !== null && frame.epoch !== epoch) return;
      tail = Math.max(tail, frame.seq);
      if (seen === null) { held.set(frame.seq, frame); return; }
      if (frame.seq <= seen) return;
      if (frame.seq > seen + 1) { held.set(frame.seq, frame); heal(); return; }
      take(frame);
      unhold();
    },
    "caught-up"(frame) {
      if (seen === null) return;
      if (frame.seq > seen) heal();
      else become("live");
    },
    reset(frame) {
      store.clear();
      generation += 1;
      held.clear();
      epoch = frame.snapshot.epoch ?? frame.epoch;
      seen = frame.snapshot.as_of_seq;
      acked = seen;
      enqueue(() => deliver("reset", frame), seen);
    },
    ping(frame) {
      tail = Math.max(tail, frame.head);
      send({ type: "pong", seq: handled ?? 0 });
      acked = handled ?? 0;
      // A doorbell may just be on its way; a head that stays ahead of us is a lost one.
      if (seen !== null && tail > seen && !timers.has("tail")) {
        timer("tail", TAIL_MS, () => { if (tail > seen) heal(); });
      }
    },
    refreshed(frame) { refreshIn(frame.exp_in); },
    "going-away"(frame) { hint = frame.retry_after_ms; },
    status(frame) { emit("status", frame); },
    error(frame) { emit("error", Object.assign(new Error(frame.detail ?? frame.code), frame)); },
  };

  /** Without a cursor: live from the head on; a snapshot says what came before. */
  async function begin(frame) {
    const mine = socket;
    epoch = frame.epoch;
    let start = frame.head;
    if (getSnapshot) {
      try {
        const snapshot = await getSnapshot();
        if (mine !== socket) return;
        start = snapshot.as_of_seq;
        await deliver("snapshot", snapshot);
      } catch (error) { if (mine === socket) { emit("error", error); retry(); } return; }
      if (mine !== socket) return;
    }
    seen = handled = start;
    acked = start;
    store.save({ epoch, seq: start });
    unhold();
    if (seen < frame.head) send({ type: "sync", since: { epoch, seq: seen } });
    else become("live");
  }

  function unhold() {
    for (const seq of [...held.keys()].sort((a, b) => a - b)) {
      if (seq > seen + 1) break;
      const frame = held.get(seq);
      held.delete(seq);
      if (seq === seen + 1) take(frame);
    }
    if (held.size === 0) cancel("heal");
  }

  function heal() {
    if (timers.has("heal")) return;
    become("catching-up");
    send({ type: "sync", since: { epoch, seq: seen } });
    timer("heal", HEAL_MS, () => { if (tail > seen) retry(); });
  }

  // Handling: in order, each awaited, then the cursor is saved, then it is acknowledged

  function take(frame) {
    seen = frame.seq;
    if (tail <= seen) cancel("heal", "tail");
    enqueue(() => deliver("business-event", frame), frame.seq, frame);
  }

  function enqueue(handle, seq, event) {
    const mine = generation;
    const at = epoch;
    work = work.then(async () => {
      if (mine !== generation) return;
      for (let n = 1; ; n += 1) {
        try { await handle(); break; } catch (error) {
          if (n >= TRIES) { emit("error", error); break; }
        }
      }
      if (mine !== generation || (event && handled !== null && seq <= handled)) return;
      handled = seq;
      store.save({ epoch: at, seq });
      if (event) {
        recent.push(event);
        if (recent.length > RECENT) recent.shift();
        emit("handled", event);
        if (!timers.has("ack")) timer("ack", ACK_MS, () => { if (handled > acked) { acked = handled; send({ type: "ack", seq: handled }); } });
      }
    });
  }

  async function deliver(type, value) { for (const act of listeners.get(type) ?? []) await act(value); }

  function refreshIn(seconds) {
    if (!(seconds > 0)) return;
    timer("refresh", seconds * 1000 * (0.75 + random() * 0.1), async () => {
      const mine = socket;
      try {
        const token = await getToken({ force: true });
        if (mine === socket) send({ type: "refresh", token });
      } catch (error) { emit("error", error); }
    });
  }

  // What the application calls

  function on(type, act) {
    if (!listeners.has(type)) listeners.set(type, new Set());
    listeners.get(type).add(act);
    return () => listeners.get(type).delete(act);
  }

  function until(type, timeoutMs, test, what) {
    return new Promise((resolve, reject) => {
      const off = on(type, (value) => { if (test(value)) { off(); drop(limit); resolve(value); } });
      const limit = later(() => { off(); reject(new Error(`${what} within ${timeoutMs} ms`)); }, timeoutMs);
    });
  }

  // A page that is put to sleep becomes hidden after pagehide, and must not come back for that.
  const hooks = [["online", () => wake()], ["offline", offline], ["pageshow", () => wake()], ["resume", () => wake()], ["visibilitychange", () => { if (page.document?.visibilityState !== "hidden") wake(); }], ["pagehide", () => { if (state !== "idle" && state !== "stopped") { leave(); become("waiting", { retryInMs: MAX_MS }); } }]];
  const hook = (verb) => { for (const [name, act] of hooks) (name === "visibilitychange" || name === "resume" ? page.document : page)?.[verb]?.(name, act); };

  return {
    get state() { return state; },
    get cursor() { return store.load(); },
    on,
    connect() { if (state === "idle" || state === "stopped") { hook("addEventListener"); attempt = 0; forced = false; open(); } },
    sync() { if (seen !== null) send({ type: "sync", since: { epoch, seq: seen } }); },
    close() { hook("removeEventListener"); leave(); cancel("retry", "stable"); become("stopped"); },
    async ready(timeoutMs = 15_000) { if (state !== "live") await until("state", timeoutMs, (s) => s.state === "live", "not live"); },
    async waitFor(test, { timeoutMs = 15_000 } = {}) { return recent.find(test) ?? until("handled", timeoutMs, test, "no such event"); },
  };
}

const ROUTED = ["PURCHASE_CREATED", "COURSE_ACCESS_GRANTED", "COURSE_PURCHASED", "ALLOCATION_WAITLISTED", "PURCHASE_REFUNDED", "COURSE_ACCESS_REVOKED", "SESSIONS_PLANNED"];

/** The student's screen state: events void what is cached, and one forced refetch brings what they announce. */
export function studentStore({ realtime, fetchLearning, fetchHome }) {
  let value = { learning: null, home: null, stale: true, error: null };
  let wanted = 0;
  let busy = null;
  const watchers = new Set();
  const set = (change) => { value = { ...value, ...change }; for (const act of watchers) act(value); };

  async function run() {
    while (value.stale) {
      const minSeq = wanted;
      try {
        const [learning, home] = await Promise.all([fetchLearning({ minSeq, force: true }), fetchHome?.({ force: true })]);
        // An answer that was overtaken by a newer event is not shown as the newest.
        set({ learning, home: home ?? null, error: null, stale: learning.as_of_seq < wanted });
      } catch (error) { set({ error }); return; }
    }
  }

  function refetch(minSeq = 0) {
    wanted = Math.max(wanted, minSeq);
    set({ stale: true });
    busy ??= run().finally(() => { busy = null; });
    return busy;
  }

  const offs = [
    realtime.on("business-event", (event) => { if (ROUTED.includes(event.event)) refetch(event.seq); }),
    realtime.on("snapshot", (view) => set({ learning: view, stale: view.as_of_seq < wanted })),
    realtime.on("reset", (frame) => { wanted = 0; set({ learning: frame.snapshot, stale: false }); }),
    realtime.on("state", (s) => { if (s.state === "live" && value.error) refetch(); }),
  ];
  return {
    get value() { return value; },
    subscribe(act) { watchers.add(act); act(value); return () => watchers.delete(act); },
    refetch,
    close() { for (const off of offs) off(); },
  };
}
