// A program of somebody who installed the packages: run, and type-checked, in an empty folder.

import { RecordSchema } from "@leat/proto";
import { Leat } from "@leat/sdk";

await using leat = new Leat("127.0.0.1:1");
// @ts-expect-error the types came along: an address is no number
const mistake = (): Leat => new Leat(1);
process.stdout.write(`${leat.constructor.name} ${mistake.length} ${RecordSchema.typeName}\n`);
