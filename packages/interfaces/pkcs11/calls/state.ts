// Implements: PKCS #11 v3.0 §5.6.6, C_GetOperationState: digests, whose state is what was digested so far.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import { SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { HASH_BYTES, type Hash } from "../mechanisms.ts";
import type { Session } from "../session.ts";
import { failure } from "../status.ts";

/** States are sealed by a key of this process, so that one cannot be made up or come from another server. */
const sealing = randomBytes(32);
const TAG = 32;
const MAX_INPUT = 1024 * 1024;

const HASHES = Object.keys(HASH_BYTES) as readonly Hash[];

/** @throws CKR_OPERATION_NOT_INITIALIZED, CKR_STATE_UNSAVEABLE for everything but a digest of at most 1 MiB. */
export function saveState(session: Session, capacity: number): [Uint8Array | number] {
  const { digest, ...others } = session.operations;
  const busy = Object.entries(others).some(([kind, operation]) => kind !== "find" && operation !== undefined);
  if (digest === undefined && !busy) throw failure("OPERATION_NOT_INITIALIZED");
  if (digest === undefined || busy || digest.input === undefined || digest.kept !== undefined) {
    throw failure("STATE_UNSAVEABLE");
  }
  const body = concat(new Uint8Array([HASHES.indexOf(digest.hash), digest.mode === "parts" ? 1 : 0]), ...digest.input);
  const state = concat(createHmac("sha256", sealing).update(body).digest(), body);
  return [capacity === SIZE_QUERY || state.length > capacity ? state.length : state];
}

/** @throws CKR_SAVED_STATE_INVALID. */
export function restoreState(session: Session, state: Uint8Array): void {
  const body = state.subarray(TAG);
  const hash = HASHES[body[0] ?? 255];
  const tag = createHmac("sha256", sealing).update(body).digest();
  if (state.length < TAG + 2 || hash === undefined || !timingSafeEqual(tag, state.subarray(0, TAG))) {
    throw failure("SAVED_STATE_INVALID");
  }
  const input = body.slice(2);
  session.operations = {
    find: session.operations.find,
    digest: {
      hash,
      state: createHash(hash).update(input),
      mode: body[1] === 1 ? "parts" : "fresh",
      kept: undefined,
      loginDue: false,
      input: [input],
      length: input.length,
    },
  };
}

/** Remembers what was digested while the operation may still be saved, or while a key is in it. @throws CKR_DATA_LEN_RANGE for too much after a key. */
export function remember(digest: NonNullable<Session["operations"]["digest"]>, data: Uint8Array): void {
  digest.length += data.length;
  const { keyed, input } = digest;
  if (keyed !== undefined) {
    if (digest.length > MAX_INPUT) throw failure("DATA_LEN_RANGE");
    keyed.push({ kind: "bytes", bytes: data.slice() });
  } else if (input !== undefined) {
    if (digest.length > MAX_INPUT) digest.input = undefined;
    else input.push(data.slice());
  }
}
