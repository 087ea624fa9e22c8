import { Growing } from "./sink";
import { writeVarint } from "./wire";

/**
 * How many outputs each record gave, as the packed varints that go into the result. Not begun as long as every record gave one, since
 * that is what absence means.
 */
export const fanouts = changetype<Growing>(memory.data(offsetof<Growing>(), 16));

/** Notes that record `index` gave `count` outputs. */
export function noteFanout(index: i32, count: i32): void {
  if (fanouts.base == 0) {
    fanouts.start(max(512, <usize>index << 1));
    memory.fill(fanouts.pos, 1, <usize>index);
    fanouts.pos += <usize>index;
  }
  fanouts.ensure(8);
  fanouts.pos = writeVarint(fanouts.pos, count);
}
