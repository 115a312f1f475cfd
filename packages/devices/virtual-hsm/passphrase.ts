/** Root of trust in a passphrase: a random root wrapped with AES-256-GCM under Argon2id (RFC 9106) of the passphrase. */
import { argon2, createCipheriv, createDecipheriv } from "node:crypto";
import { decode, encode, fixed, struct, u32, u8 } from "@casemate/foundation/codec";
import type { Random } from "@casemate/foundation/effects";
import { ROOT_BYTES } from "./root.ts";
import { refuse } from "./refuse.ts";

/** RFC 9106 §4, second recommended option: 64 MiB, 3 passes. */
export const ARGON2 = { memoryKiB: 65_536, passes: 3, lanes: 4 } as const;
export const PASSPHRASE_BYTES = { least: 8, most: 1024 } as const;

const lockCodec = struct("passphrase lock", "virtual HSM state v1", {
  memoryKiB: u32,
  passes: u32,
  lanes: u8,
  salt: fixed(16),
  nonce: fixed(12),
  wrapped: fixed(ROOT_BYTES + 16),
});

interface Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}

/** Off the event loop: the device goes on answering. */
function stretch(passphrase: Uint8Array, salt: Uint8Array, cost: Cost): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    argon2(
      "argon2id",
      {
        message: passphrase,
        nonce: salt,
        parallelism: cost.lanes,
        tagLength: 32,
        memory: cost.memoryKiB,
        passes: cost.passes,
      },
      (error, key) => (error === null ? resolve(key) : reject(error)),
    );
  });
}

/** Wraps a root under a new passphrase. @throws BAD_REQUEST when it is too short or too long. */
export async function lockRoot(
  root: Uint8Array,
  passphrase: Uint8Array,
  random: Random,
  cost: Cost = ARGON2,
): Promise<Uint8Array> {
  if (passphrase.length < PASSPHRASE_BYTES.least || passphrase.length > PASSPHRASE_BYTES.most) {
    throw refuse(
      "BAD_REQUEST",
      `a passphrase needs ${PASSPHRASE_BYTES.least} to ${PASSPHRASE_BYTES.most} bytes`,
      "Choose several unrelated words.",
    );
  }
  const salt = random.bytes(16);
  const nonce = random.bytes(12);
  const key = await stretch(passphrase, salt, cost);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const wrapped = Buffer.concat([cipher.update(root), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return encode(lockCodec, {
    memoryKiB: cost.memoryKiB,
    passes: cost.passes,
    lanes: cost.lanes,
    salt,
    nonce,
    wrapped,
  });
}

/** Undefined when the passphrase is wrong. @throws DECODE_* or TAMPER_DETECTED when the lock is not one of ours. */
export async function openRoot(lock: Uint8Array, passphrase: Uint8Array): Promise<Uint8Array | undefined> {
  const fields = decode(lockCodec, lock);
  // The lock is not authenticated before it is opened: costs beyond these are an attack on memory or time.
  if (fields.memoryKiB > 1_048_576 || fields.passes > 16 || fields.lanes > 16 || fields.lanes === 0) {
    throw refuse("TAMPER_DETECTED", "the passphrase lock of the sealed state asks for an absurd cost");
  }
  const key = await stretch(passphrase, fields.salt, fields);
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, fields.nonce);
    decipher.setAuthTag(fields.wrapped.subarray(ROOT_BYTES));
    const root = decipher.update(fields.wrapped.subarray(0, ROOT_BYTES));
    decipher.final();
    return root;
  } catch {
    return undefined;
  } finally {
    key.fill(0);
  }
}
