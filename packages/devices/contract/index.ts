export { KEY_ALGORITHMS, SIGN_SCHEMES, CIPHER_SCHEMES, MAC_SCHEMES, WRAP_SCHEMES, USAGES } from "./names.ts";
export type { KeyAlgorithm, SignScheme, CipherScheme, MacScheme, WrapScheme, Usage, InputKind } from "./names.ts";
export { usageClash, withoutClash } from "./usages.ts";
export type {
  Device,
  DeviceIdentity,
  DeviceKind,
  DeviceStatus,
  DeviceState,
  AlgorithmSupport,
  IsolationStep,
  KeyRef,
  KeySpec,
  NewKey,
  Many,
} from "./device.ts";
export type {
  KeysFacet,
  SignFacet,
  CipherFacet,
  MacFacet,
  AgreeFacet,
  KemFacet,
  WrapFacet,
  DataKeysFacet,
  UnlockChallenge,
  UnlockFacet,
  ZeroizeFacet,
  WatchFacet,
  LogCheckpoint,
  WitnessedLog,
  WitnessFacet,
  DeviceEvent,
  ObjectsFacet,
  DeviceObject,
} from "./facets.ts";
