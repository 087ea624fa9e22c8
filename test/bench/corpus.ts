/**
 * The cases: what is compared with what, and what the figure must be.
 *
 * @module
 */

import { recordsPerBatch, valueBytes } from "./fixtures.ts";
import { allocationRun } from "./runs/allocation.ts";
import { guestRun } from "./runs/guest.ts";
import { type AllocatedBytes, cpuPerUnit, type Run, rate, type Sample } from "./runs/run.ts";
import { sdkCallers, sdkRun, streamRun, unaryCallers, unaryRun } from "./runs/served.ts";

/** What a case's figure must be. */
export interface Goal {
  bound: "at least" | "at most";
  value: number;
}

/** One comparison. */
export interface Case {
  /** What `--case` takes: the group's name, a slash, its own. */
  name: string;
  /** What the figure is, for people. */
  measure: string;
  /** The figure's unit: empty for a ratio. */
  unit: string;
  goal: Goal;
  /** Names of the runs that the figure is made of. */
  runs: readonly string[];
  /** Makes the figure out of one round's samples. */
  figure(sampleOf: (run: string) => Sample): number;
}

/** Cases whose runs are taken in turn. */
export interface Group {
  name: string;
  title: string;
  runs: readonly Run[];
  cases: readonly Case[];
}

const batchText = `${recordsPerBatch} records of ${valueBytes} B`;
/** What passes for nothing: 5 % of the bytes of a batch that come in and go out. */
const nearlyNothingBytes = Math.round(0.05 * 2 * recordsPerBatch * 280);

const stream: Group = {
  name: "stream",
  title: `One stream, uppercase, ${batchText}`,
  runs: [
    streamRun("echo"),
    streamRun("leat"),
    guestRun({ module: "uppercase", part: "call" }),
    streamRun("echo-plain"),
    streamRun("connect"),
    streamRun("extism"),
  ],
  cases: [
    streamCpuCase(
      "stream/cpu",
      "stream:echo-plain",
      "server CPU per batch ÷ (grpc-js echo + bare guest call)",
    ),
    streamCpuCase("stream/cpu-tuned", "stream:echo", "the same, the echo with Leat's HTTP/2 windows"),
    ratioOfRates("stream/echo", "stream:leat", "stream:echo-plain", 0.7, "records/s ÷ grpc-js echo"),
    ratioOfRates(
      "stream/echo-tuned",
      "stream:leat",
      "stream:echo",
      0.6,
      "the same, the echo with Leat's HTTP/2 windows",
    ),
    ratioOfRates(
      "stream/connect",
      "stream:leat",
      "stream:connect",
      4,
      "records/s ÷ connect-node, one call a record in process",
    ),
    ratioOfRates(
      "stream/extism",
      "stream:leat",
      "stream:extism",
      20,
      "records/s ÷ grpc-js with Extism in a worker, one call a record",
    ),
  ],
};

const unary: Group = {
  name: "unary",
  title: `Unary, uppercase, one record of ${valueBytes} B, ${unaryCallers} callers`,
  runs: [unaryRun("echo"), unaryRun("leat")],
  cases: [ratioOfRates("unary/echo", "unary:leat", "unary:echo", 0.6, "calls/s ÷ grpc-js echo")],
};

const batcher: Group = {
  name: "batcher",
  title: `SDK, ${sdkCallers.toLocaleString("en")} concurrent single-record calls`,
  runs: [sdkRun("unary"), sdkRun("batcher")],
  cases: [ratioOfRates("batcher/unary", "sdk:batcher", "sdk:unary", 15, "calls/s ÷ the same as unary calls")],
};

const kit: Group = {
  name: "kit",
  title: `AssemblyScript kit, uppercase, ${batchText}, in process`,
  runs: [
    guestRun({ module: "uppercase", part: "call" }),
    guestRun({ module: "uppercase-raw", part: "call" }),
  ],
  cases: [
    {
      name: "kit/raw",
      measure: "ns per record ÷ hand-written load/store code",
      unit: "",
      goal: { bound: "at most", value: 1.5 },
      runs: ["guest:uppercase-call", "guest:uppercase-raw-call"],
      // CPU time, not the clock's: other work on the machine then moves the figure less.
      figure: (of) => cpuPerUnit(of("guest:uppercase-call")) / cpuPerUnit(of("guest:uppercase-raw-call")),
    },
  ],
};

const stages: Group = {
  name: "stages",
  title: `Three uppercase stages beside one, ${batchText}`,
  runs: [
    streamRun("leat", { stages: 1 }),
    streamRun("leat", { stages: 3 }),
    guestRun({ module: "uppercase", part: "own" }),
  ],
  cases: [
    {
      name: "stages/cpu",
      measure: "CPU a further stage adds beyond the guest's own, of the CPU with one stage",
      unit: "%",
      goal: { bound: "at most", value: 10 },
      runs: ["stream:leat-1", "stream:leat-3", "guest:uppercase-own"],
      figure: (of) => {
        const one = cpuPerUnit(of("stream:leat-1"));
        const added = (cpuPerUnit(of("stream:leat-3")) - one) / 2;
        return ((added - cpuPerUnit(of("guest:uppercase-own"))) / one) * 100;
      },
    },
  ],
};

const crossing: Group = {
  name: "crossing",
  title: `Allocation per batch on one stream, ${batchText}`,
  runs: [allocationRun("echo"), allocationRun("leat")],
  cases: [
    allocationCase("crossing/heap", "JS heap, all threads, beyond grpc-js echo", (bytes) => {
      return bytes.mainHeap + bytes.workerHeap;
    }),
    allocationCase("crossing/external", "outside the heap, beyond grpc-js echo", (bytes) => bytes.external),
  ],
};

const isolation: Group = {
  name: "isolation",
  title: `A pipeline in a process of its own beside one in a thread, uppercase, ${batchText}`,
  runs: [
    streamRun("leat"),
    streamRun("leat", { isolated: true }),
    streamRun("leat", { window: 1 }),
    streamRun("leat", { isolated: true, window: 1 }),
  ],
  cases: [
    ratioOfRates("isolation/rate", "stream:leat-isolated", "stream:leat", 0.4, "records/s ÷ in a thread"),
    {
      name: "isolation/time",
      measure: "what a batch takes longer, one at a time",
      unit: "µs",
      goal: { bound: "at most", value: 200 },
      runs: ["stream:leat-window-1", "stream:leat-isolated-window-1"],
      figure: (of) =>
        1e6 / rate(of("stream:leat-isolated-window-1")) - 1e6 / rate(of("stream:leat-window-1")),
    },
  ],
};

/** All groups, in the order in which they run. */
export const corpus: readonly Group[] = [stream, unary, batcher, kit, stages, crossing, isolation];

function streamCpuCase(name: string, echo: string, measure: string): Case {
  return {
    name,
    measure,
    unit: "",
    goal: { bound: "at most", value: 1.5 },
    runs: ["stream:leat", echo, "guest:uppercase-call"],
    figure: (of) =>
      cpuPerUnit(of("stream:leat")) / (cpuPerUnit(of(echo)) + cpuPerUnit(of("guest:uppercase-call"))),
  };
}

function ratioOfRates(name: string, ours: string, baseline: string, atLeast: number, measure: string): Case {
  return {
    name,
    measure,
    unit: "",
    goal: { bound: "at least", value: atLeast },
    runs: [ours, baseline],
    figure: (of) => rate(of(ours)) / rate(of(baseline)),
  };
}

function allocationCase(name: string, measure: string, bytes: (allocated: AllocatedBytes) => number): Case {
  const allocated = (sample: Sample) => {
    if (!sample.allocatedPerUnit) throw new Error("a sample without allocation");
    return bytes(sample.allocatedPerUnit);
  };
  return {
    name,
    measure,
    unit: "B",
    goal: { bound: "at most", value: nearlyNothingBytes },
    runs: ["allocation:leat", "allocation:echo"],
    figure: (of) => allocated(of("allocation:leat")) - allocated(of("allocation:echo")),
  };
}
