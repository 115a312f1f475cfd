// Implements: p11-kit RPC (p11-kit/rpc-message.h of 0.24 to 0.26), with limits of our own: the protocol names none for sizes.

/** Every size that a peer may ask for, refused before memory is taken. */
export const RPC_LIMITS = {
  /** Bytes of one message body: room for a 16 MiB one-shot operation with its frame. */
  bodyBytes: 17 * 1024 * 1024,
  /** Bytes of the options before a body: the client sends its module name. */
  optionBytes: 256,
  /** Characters of a signature; the longest known has 22. */
  signatureBytes: 64,
  /** Attributes in one template, nested ones counted on their own. */
  attributes: 1024,
  /** Items of an array of CK_ULONG. */
  ulongs: 65_536,
  /** Bytes of one attribute value. */
  attributeBytes: 1024 * 1024,
  /** Templates within templates; p11-kit's own limit. */
  depth: 8,
  /** Bytes of one byte array; p11-kit refuses 2^31 and more. */
  arrayBytes: 16 * 1024 * 1024 + 65_536,
} as const;

/** What C_Initialize carries, so that both ends know the protocol. */
export const HANDSHAKE = "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1";

/** The protocol versions spoken: 0 (p11-kit 0.23 and 0.24), 1 (0.25), 2 (0.26). */
export type RpcVersion = 0 | 1 | 2;
export const NEWEST_VERSION: RpcVersion = 2;

/** The codec for the version byte that a client offered; clients of a later version are held to ours. */
export function rpcVersion(offered: number): RpcVersion {
  return offered >= 2 ? 2 : offered === 1 ? 1 : 0;
}
