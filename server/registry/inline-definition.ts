/**
 * Makes a pipeline of a chain of modules that a call brought along.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { type Pipeline, PipelineSchema } from "@leat/proto";

/**
 * One stage a module, named after it; a module that comes again gets a number behind its name.
 *
 * @param nameOf - the name of the module that a reference means
 */
export function inlineDefinition(
  modules: readonly string[],
  nameOf: (reference: string) => string,
): Pipeline {
  const times = new Map<string, number>();
  return create(PipelineSchema, {
    name: "inline",
    stages: modules.map((module) => {
      const name = nameOf(module);
      const time = (times.get(name) ?? 0) + 1;
      times.set(name, time);
      return { name: time === 1 ? name : `${name.slice(0, 60)}-${time}`, module };
    }),
  });
}
