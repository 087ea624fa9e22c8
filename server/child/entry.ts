/**
 * Where the process of a worker of its own starts.
 *
 * @module
 */

import { Socket } from "node:net";
import { childFiles, FrameReader, ToChild } from "../bridge/frames.ts";
import { type ChildStart, Relay } from "./relay.ts";

const socket = new Socket({ fd: childFiles.frames, readable: true, writable: true });
let relay: Relay | undefined;

// The server's process is trusted, so its frames have no bound.
const reader = new FrameReader(
  () => Number.MAX_SAFE_INTEGER,
  (type, payload) => {
    if (type === ToChild.start) relay = new Relay(socket, JSON.parse(payload.toString("utf8")) as ChildStart);
    else relay?.take(type, payload);
  },
);
socket.on("data", (chunk: Buffer) => reader.push(chunk));
// Without the server there is nothing to do, and nobody who would end this process.
socket.on("close", () => process.exit(0));
socket.on("error", () => process.exit(0));
