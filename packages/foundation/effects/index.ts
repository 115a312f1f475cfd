export { systemClock, manualClock, type Clock, type ManualClock } from "./clock.ts";
export { systemRandom, type Random } from "./random.ts";
