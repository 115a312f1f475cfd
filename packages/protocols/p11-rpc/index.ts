export { HANDSHAKE, NEWEST_VERSION, RPC_LIMITS, rpcVersion, type RpcVersion } from "./limits.ts";
export { CALLS, callNamed, type CallName, type CallRow, type ReplySignature, type RequestSignature } from "./calls.ts";
export { NULL_BYTES, SIZE_QUERY } from "./signature.ts";
export type { ByteArray, ByteReply, Capacity, ReplyValues, RequestValues, UlongReply, Version } from "./signature.ts";
export {
  decodeAttributes,
  encodeAttributes,
  valueLength,
  wireClass,
  type Attribute,
  type AttributeBuffer,
  type AttributeValue,
} from "./attribute.ts";
export { NULL_MECHANISM, type Mechanism, type MechanismParameter } from "./mechanism.ts";
export { FRAME_HEADER, FrameReader, type Frame } from "./frame.ts";
export { decodeReply, decodeRequest, peekCall, writeErrorReply, writeReply, writeRequest } from "./message.ts";
export type { Reply, Request } from "./message.ts";
export { CK_UNAVAILABLE, CKA, CKC, CKD, CKF, CKG, CKK, CKO, CKR, CKS, CKU } from "./cryptoki.ts";
export { CKM, mechanismName, type MechanismName } from "./mechanism-types.ts";
