import { expect, test } from "vitest";
import { clockOf } from "../test/kit/clocks.ts";
import { idlePipeline, jobOf } from "../test/kit/jobs.ts";
import { refusalBefore } from "./places.ts";
import { Crossing } from "./pool/crossing.ts";
import { ServingPipeline } from "./pool/serving-pipeline.ts";
import type { ModuleSignatures } from "./registry/module-signatures.ts";
import { Quarantine } from "./supervision/quarantine.ts";

const signatures = { noneRefused: true, refusalToRun: () => undefined } as unknown as ModuleSignatures;

test.each(["serve", "shadow"] as const)(
  "what is to %s does not run while a module of it is in quarantine",
  (purpose) => {
    const quarantine = new Quarantine(
      undefined,
      clockOf(() => 0),
    );
    const pipeline = new ServingPipeline(idlePipeline().spec, () => {}, purpose);
    const crossing = new Crossing([jobOf(pipeline)]);
    expect(refusalBefore(quarantine, signatures, crossing)).toBeUndefined();
    quarantine.hold("sha256:00", "it broke");
    expect(refusalBefore(quarantine, signatures, crossing)).toMatchObject({ reason: "MODULE_QUARANTINED" });
  },
);
