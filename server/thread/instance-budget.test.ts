import { describe, expect, test } from "vitest";
import type { StageRunner } from "../stages/stage-runner.ts";
import { InstanceBudget } from "./instance-budget.ts";

/** A stage's instance, as far as the budget knows it. */
class FakeRunner {
  lastUse = 0;
  memoryBytes = 0;
  evictions = 0;
  givenUpBytes = 0;
  readonly spec = { instanceHeapBytes: 10 };

  get live(): boolean {
    return this.memoryBytes > 0;
  }

  evict(): void {
    this.givenUpBytes += this.memoryBytes;
    this.memoryBytes = 0;
    this.evictions++;
  }
}

function setUp(
  maxInstancesPerWorker: number,
  maxInstanceBytesPerWorker: number,
  maxInstanceHeapBytesPerWorker = 1_000,
) {
  let told = 0;
  let collected = 0;
  const budget = new InstanceBudget(
    { maxInstancesPerWorker, maxInstanceBytesPerWorker, maxInstanceHeapBytesPerWorker },
    (bytes) => {
      told = bytes;
    },
    () => collected++,
  );
  const use = (runner: FakeRunner, memoryBytes: number): void => {
    const stage = runner as unknown as StageRunner;
    if (!runner.live) budget.admit(stage);
    runner.memoryBytes = memoryBytes;
    budget.touch(stage);
  };
  const runners = Array.from({ length: 5 }, () => new FakeRunner());
  return {
    budget,
    use,
    runners,
    told: () => told,
    collected: () => collected,
    bytes: () => runners.map((each) => each.memoryBytes),
  };
}

describe("the instance that was unused for longest gives way", () => {
  test("to a new one beyond the number", () => {
    const { use, runners, bytes } = setUp(3, 1_000);
    for (const runner of runners.slice(0, 3)) use(runner, 10);
    use(runners[0] as FakeRunner, 10);
    use(runners[3] as FakeRunner, 10);
    expect(bytes()).toEqual([10, 0, 10, 10, 0]);
  });

  test("to one that has grown, and as many as it takes", () => {
    const { use, runners, bytes, told } = setUp(64, 100);
    for (const runner of runners) use(runner, 20);
    expect(told()).toBe(100);
    use(runners[0] as FakeRunner, 55);
    expect(bytes()).toEqual([55, 0, 0, 20, 20]);
    expect(told()).toBe(95);
  });

  test("to a new one beyond what they may take of the heap", () => {
    const { use, runners, bytes } = setUp(64, 1_000, 30);
    for (const runner of runners.slice(0, 3)) use(runner, 1);
    expect(bytes()).toEqual([1, 1, 1, 0, 0]);
    use(runners[3] as FakeRunner, 1);
    expect(bytes()).toEqual([0, 1, 1, 1, 0]);
    // One that begins anew takes its own place.
    (runners[1] as FakeRunner).evict();
    use(runners[1] as FakeRunner, 1);
    expect(bytes()).toEqual([0, 1, 1, 1, 0]);
    use(runners[4] as FakeRunner, 1);
    expect(bytes()).toEqual([0, 1, 0, 1, 1]);
  });

  test("but never the one that has just run, however large it is", () => {
    const { use, runners, bytes } = setUp(64, 100);
    use(runners[1] as FakeRunner, 60);
    use(runners[0] as FakeRunner, 100);
    expect(bytes()).toEqual([100, 0, 0, 0, 0]);
    use(runners[0] as FakeRunner, 120);
    expect(bytes()).toEqual([120, 0, 0, 0, 0]);
  });
});

test("memory that was given up in other ways counts no more", () => {
  const { budget, use, runners, bytes, told } = setUp(64, 100);
  for (const runner of runners.slice(0, 4)) use(runner, 25);
  // After a fault the instance is gone, and its stage is told of at the end of its batch.
  (runners[0] as FakeRunner).memoryBytes = 0;
  budget.touch(runners[0] as unknown as StageRunner);
  expect(told()).toBe(75);
  // A pipeline was dropped.
  (runners[1] as FakeRunner).memoryBytes = 0;
  budget.refresh();
  expect(told()).toBe(50);
  use(runners[4] as FakeRunner, 50);
  expect(bytes()).toEqual([0, 0, 25, 25, 50]);
  expect(runners.map(({ evictions }) => evictions)).toEqual([0, 0, 0, 0, 0]);
});

test("what instances that are gone took of the heap counts no more", () => {
  const { budget, use, runners, bytes } = setUp(64, 1_000, 30);
  for (const runner of runners.slice(0, 3)) use(runner, 1);
  // After a fault it was not made anew.
  (runners[0] as FakeRunner).memoryBytes = 0;
  use(runners[3] as FakeRunner, 1);
  expect(bytes()).toEqual([0, 1, 1, 1, 0]);
  // A pipeline was dropped.
  (runners[1] as FakeRunner).memoryBytes = 0;
  budget.refresh();
  use(runners[4] as FakeRunner, 1);
  expect(bytes()).toEqual([0, 0, 1, 1, 1]);
  expect(runners.map(({ evictions }) => evictions)).toEqual([0, 0, 0, 0, 0]);
});

test("what was dropped is collected each time that it is a quarter of the budget", () => {
  const { use, runners, collected } = setUp(64, 100);
  const [one, other] = runners as [FakeRunner, FakeRunner];
  use(one, 90);
  expect(collected()).toBe(0);
  // 90 give way to 24, and these to 90.
  use(other, 24);
  expect(collected()).toBe(1);
  use(one, 90);
  expect(collected()).toBe(1);
  // After a fault in which it had grown.
  one.givenUpBytes += 10;
  one.memoryBytes = 0;
  use(one, 0);
  expect(collected()).toBe(2);
});
