export { createEngine, type Engine, type EngineOptions } from "./engine.ts";
export type { DigestSigner, EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";
export type { RootFile } from "./root.ts";
