export { restBench, type Answer, type Call, type RestBench } from "./rest-bench.ts";
export { exchange } from "./exchange.ts";
