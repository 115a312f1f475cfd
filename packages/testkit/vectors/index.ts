export { AES_BLOCK_MODES, AES_GCM, type BlockModeVector } from "./aes.ts";
export { KEY_WRAPS, type KeyWrapVector } from "./key-wrap.ts";
export { MACS, type MacVector } from "./mac.ts";
export { DETERMINISTIC_SIGNATURES, ECDSA_SIGNATURES, PREHASHED_SIGNATURES } from "./signatures.ts";
export { SHARED_SECRETS } from "./agreement.ts";
export { SEEDED_PUBLIC_KEYS } from "./post-quantum.ts";
