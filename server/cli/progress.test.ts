import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { until } from "../../test/kit/until.ts";
import { formatTally, showProgress, type Tally } from "./progress.ts";

function terminal(isTTY: boolean): { stream: PassThrough & { isTTY: boolean }; text(): string } {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 120 });
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { stream, text: () => text };
}

const half: Tally = { bytes: 512, in: 1_500, out: 1_400, dropped: 90, failed: 10 };

test("a terminal sees how far the work is, its figures and its rate", async () => {
  const { stream, text } = terminal(true);
  const progress = showProgress(half, 1_024, stream);
  await until(() => text().includes("%"), "the bar is shown");
  progress.log("a line that stays\n");
  progress.stop();
  expect(text()).toMatch(/█{12}░{12} 50% {2}1,500 in, 1,400 out, 90 dropped, 10 failed, [\d,]+\/s/);
  expect(text()).toContain("a line that stays");
});

test("without a known total there are only the figures", async () => {
  const { stream, text } = terminal(true);
  const progress = showProgress(half, undefined, stream);
  await until(() => text().includes("1,500 in"), "the figures are shown");
  progress.stop();
  expect(text()).not.toMatch(/[█░%]/);
});

test("what is no terminal gets the lines and nothing else", () => {
  const { stream, text } = terminal(false);
  const progress = showProgress(half, 1_024, stream);
  progress.log("{}\n");
  progress.stop();
  expect(text()).toBe("{}\n");
});

test("a tally tells the rate over all of its time", () => {
  expect(formatTally(half, 2)).toBe("1,500 in, 1,400 out, 90 dropped, 10 failed, 750/s, 256 B/s");
});
