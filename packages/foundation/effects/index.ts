export { systemClock, manualClock, type Clock, type ManualClock } from "./clock.ts";
export { idleProcessors, type IdleProcessors } from "./idle-processors.ts";
export { systemRandom, type Random } from "./random.ts";
