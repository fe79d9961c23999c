/** Where a client is: it has handled `seq` and everything before it. */
export interface Cursor { epoch: string; seq: number }

/** A business event, exactly as it stands in the log. */
export interface BusinessEvent<Data = Record<string, unknown>> {
  type: "business-event";
  seq: number;
  epoch: string;
  id: string;
  event: string;
  student_id: string;
  ts: string;
  correlation_id: string;
  schema: number;
  data: Data;
}

/** The learning view: what the student owns as of `as_of_seq`. */
export interface Learning {
  student_id: string;
  as_of_seq: number;
  epoch: string;
  courses: Array<{
    course_id: string;
    title: string;
    status: string;
    purchases: Array<{ purchase_id: string; tier: number; status: string; created_at: string }>;
    trainer: { trainer_id: string; name: string } | null;
    sessions_total: number | null;
    sessions_left: number | null;
  }>;
}

export interface Reset { type: "reset"; epoch: string; head: number; reason: "epoch" | "ahead" | "expired" | "too_many"; snapshot: Learning }

export type State = "idle" | "connecting" | "catching-up" | "live" | "waiting" | "stopped";

export interface StateChange {
  state: State;
  attempt: number;
  /** With `waiting`. */
  retryInMs?: number;
  /** With `stopped`: the close code that ended it; absent after `close()`. */
  code?: number;
}

export interface Events {
  /** Awaited, in order; then the cursor is saved and acknowledged. One that throws is tried three times. */
  "business-event": (event: BusinessEvent) => void | Promise<void>;
  /** The cursor is void; start from `snapshot`. Awaited like an event. */
  reset: (reset: Reset) => void | Promise<void>;
  /** What `getSnapshot` gave on a first visit. */
  snapshot: (view: Learning) => void | Promise<void>;
  state: (change: StateChange) => void;
  /** `live: false`: events come late, but they come. */
  status: (status: { live: boolean; reason?: string }) => void;
  error: (error: Error) => void;
}

export interface CursorStore {
  load(): Cursor | null;
  save(cursor: Cursor): void;
  clear(): void;
}

export interface RealtimeOptions {
  /** `wss://host/ws`. */
  url: string;
  /** `force`: the token that we had is refused or about to end. */
  getToken(options: { force: boolean }): Promise<string>;
  /** Reads the learning view on a first visit; without it the stream begins at the head. */
  getSnapshot?(): Promise<Learning>;
  /** Keeps the cursors of several students apart, and is needed for `sse`. */
  student?: string;
  /**
   * Default both: server-sent events take over where two WebSockets in a row never opened, and WebSockets are tried
   * again when that stream ends. Over `sse` nothing is acknowledged.
   */
  transports?: Array<"ws" | "sse">;
  /** Shown in the server's log. */
  name?: string;
  /** Default: localStorage, or memory where that is refused. */
  cursorStore?: CursorStore;
  WebSocket?: typeof WebSocket;
  fetch?: typeof fetch;
  random?: () => number;
  now?: () => number;
  setTimeout?: (work: () => void, ms: number) => unknown;
  clearTimeout?: (timer: unknown) => void;
  /** Where `online`, `offline`, `pageshow`, `pagehide` and, on its document, `visibilitychange` and `resume` are heard. */
  page?: EventTarget & { document?: EventTarget };
}

export interface Realtime {
  readonly state: State;
  readonly cursor: Cursor | null;
  on<K extends keyof Events>(type: K, act: Events[K]): () => void;
  connect(): void;
  /** Ask for what follows the last event seen. */
  sync(): void;
  close(): void;
  /** Resolves when live; rejects after `timeoutMs` (default 15 s). */
  ready(timeoutMs?: number): Promise<void>;
  /** The first handled event that passes `test`, among the last ones or those to come. */
  waitFor(test: (event: BusinessEvent) => boolean, options?: { timeoutMs?: number }): Promise<BusinessEvent>;
}

export function createRealtime(options: RealtimeOptions): Realtime;
export function cursorStore(key: string, storage?: Storage): CursorStore;

export interface StudentView { learning: Learning | null; home: unknown; stale: boolean; error: Error | null }

export interface StudentStore {
  readonly value: StudentView;
  /** Called at once and after every change. */
  subscribe(act: (value: StudentView) => void): () => void;
  /** Resolves when nothing newer is wanted, or the fetch failed. */
  refetch(minSeq?: number): Promise<void>;
  close(): void;
}

export function studentStore(options: {
  realtime: Realtime;
  fetchLearning(options: { minSeq: number; force: true }): Promise<Learning>;
  fetchHome?(options: { force: true }): Promise<unknown>;
}): StudentStore;
