export { Awake, type AwakeOptions } from "./awake.ts";
export { idleProcessors, LATENCY_FILE, type IdleProcessors } from "./idle-processors.ts";
