export { createEngine, type Engine, type EngineOptions } from "./engine.ts";
export type { EcSigner, EcSignerFactory } from "./ec-signer.ts";
export type { RootFile } from "./root.ts";
