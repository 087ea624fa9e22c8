/**
 * Where the store's thread starts: it alone has the database open, so that no disk ever holds the main thread up.
 *
 * @module
 */

import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { addedBytes } from "./disk-room.ts";
import type { LetterTable } from "./letter-table.ts";
import { problemOf, Storage } from "./storage.ts";
import type {
  Change,
  FromStoreThread,
  StoreCall,
  StoreCallName,
  StoreCalls,
  StoreThreadStart,
} from "./store-calls.ts";

assert(parentPort !== null, "store/store-thread.ts runs in a thread of its own only");
const port = parentPort;

const send = (message: FromStoreThread): void => port.postMessage(message);
const storage = new Storage(workerData as StoreThreadStart, send);

const calls: {
  readonly [Name in StoreCallName]: (request: StoreCalls[Name]["request"]) => StoreCalls[Name]["reply"];
} = {
  change: ({ changes }) => {
    storage.checkRoom(addedBytes(changes));
    return storage.transaction(({ letters }) => ({
      counts: changes.map((change) => makeChange(letters, change)),
      totals: letters.totals(),
    }));
  },
  list: (request) => storage.use(({ letters }) => letters.list(request)),
  get: ({ id }) => storage.use(({ letters }) => letters.get(id)),
  read: (request) => storage.use(({ letters }) => letters.read(request)),
  purge: (request) =>
    storage.use(({ letters }) => {
      const purged = letters.transaction(() => letters.purge(request));
      if (purged.removed > 0) letters.shrink();
      return { ...purged, totals: letters.totals() };
    }),
  retain: (request) =>
    storage.use(({ letters }) => {
      const removed = letters.transaction(() => letters.retain(request));
      if (removed > 0) letters.shrink();
      return { removed, totals: letters.totals() };
    }),
  totals: () => storage.use(({ letters }) => letters.totals()),
  probe: () => {
    storage.probe();
    return true;
  },
  readRegistry: () => storage.use(({ registry }) => registry.read()),
  readRevisions: ({ pipeline }) => storage.use(({ registry }) => registry.revisions(pipeline)),
  readRevision: ({ pipeline, revision }) =>
    storage.use(({ registry }) => registry.revision(pipeline, revision)),
  changeRegistry: ({ steps }) =>
    storage.transaction(({ registry }) => {
      for (const step of steps) registry.take(step);
      return true;
    }),
  beginAudit: ({ id, draft }) =>
    storage.transaction(({ audit }) => {
      audit.begin(id, draft);
      return true;
    }),
  appendAudit: ({ ended }) =>
    storage.transaction(({ audit }) => {
      for (const { draft, intent } of ended) audit.append(draft, intent);
      return audit.bounds();
    }),
  recoverAudit: ({ timeMs, run }) =>
    storage.transaction(({ audit }) => ({ interrupted: audit.recover(timeMs, run), bounds: audit.bounds() })),
  retainAudit: (request) =>
    storage.transaction(({ audit }) => ({ removed: audit.retain(request), bounds: audit.bounds() })),
  getAudit: ({ sequence }) => storage.use(({ audit }) => audit.get(sequence)),
  listAudit: (request) => storage.use(({ audit }) => audit.list(request)),
  checkAudit: ({ after, count }) => storage.use(({ audit }) => audit.check(after, count)),
  close: () => {
    storage.close();
    return true;
  },
};

function makeChange(letters: LetterTable, change: Change): number {
  switch (change.t) {
    case "add":
      return letters.add(change.letters);
    case "remove":
      return letters.remove(change.ids);
    case "replayed":
      return letters.replayed(change.id, change.attempts);
  }
}

port.on("message", ({ number, name, request }: StoreCall) => {
  try {
    const call = calls[name] as (request: StoreCall["request"]) => StoreCalls[StoreCallName]["reply"];
    send({ t: "reply", number, value: call(request) });
  } catch (error) {
    send({ t: "failed", number, problem: problemOf(error) });
  }
  // Without its port the thread has nothing to wait for, and ends.
  if (name === "close") port.close();
});
