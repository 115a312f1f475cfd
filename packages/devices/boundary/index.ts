export { launchBoundary } from "./launch.ts";
export { superviseBoundary } from "./supervise.ts";
export type { BoundaryProcess, Channel, LaunchOptions, SupervisedBoundary, SuperviseOptions } from "./types.ts";
export { launchUnconfined, type UnconfinedOptions, type UnconfinedProcess } from "./unconfined.ts";
