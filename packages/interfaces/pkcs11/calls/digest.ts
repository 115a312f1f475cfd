// Implements: PKCS #11 v3.0 §5.12, message digests.
import { createHash } from "node:crypto";
import { HASH_BYTES } from "../mechanisms.ts";
import { failure } from "../status.ts";
import { cancels, mechanismRow } from "./init.ts";
import { deliver, fresh, input, part, step, whole } from "./output.ts";
import { remember } from "./state.ts";
import type { Calls } from "./types.ts";

export const digestCalls: Calls<"C_DigestInit" | "C_Digest" | "C_DigestUpdate" | "C_DigestKey" | "C_DigestFinal"> = {
  C_DigestInit(application, handle, mechanism) {
    const session = application.session(handle);
    if (cancels(session, "digest", mechanism)) return [];
    const { digest: hash } = mechanismRow(mechanism);
    if (hash === undefined) throw failure("MECHANISM_INVALID");
    session.operations.digest = { ...fresh(), hash, state: createHash(hash), input: [], length: 0 };
    return [];
  },
  C_Digest(application, handle, given, capacity) {
    const session = application.session(handle);
    const operation = session.running("digest");
    whole(session, "digest", operation);
    const data = input(session, "digest", given);
    const size = HASH_BYTES[operation.hash];
    // The length is exact, so with too little room nothing has happened yet.
    if (capacity >= 0 && capacity < size) return [size];
    return deliver(session, "digest", operation, capacity, size, true, () => operation.state.update(data).digest());
  },
  C_DigestUpdate(application, handle, given) {
    const session = application.session(handle);
    const operation = session.running("digest");
    part(session, "digest", operation);
    const data = input(session, "digest", given);
    return step(session, "digest", () => {
      if (operation.keyed === undefined) operation.state.update(data);
      remember(operation, data);
      return [];
    });
  },
  async C_DigestKey(application, handle, key) {
    const session = application.session(handle);
    const operation = session.running("digest");
    const { material } = application.object(session, key, "KEY_HANDLE_INVALID");
    if (material === undefined) throw failure("KEY_HANDLE_INVALID");
    // A key in a device never comes to where the digest is made.
    if (material.kind !== "secret") throw failure("KEY_INDIGESTIBLE");
    part(session, "digest", operation);
    if (operation.keyed === undefined && operation.input === undefined)
      throw failure("KEY_INDIGESTIBLE", "more was digested before the key than is remembered");
    const { caller } = application.maker(session);
    await application.ports.sessionKeys.mayDigest(caller, material.key, operation.hash);
    // From here on the process of the session keys makes the digest: the value is there.
    operation.keyed ??= (operation.input ?? []).map((bytes) => ({ kind: "bytes", bytes }));
    operation.keyed.push({ kind: "key", id: material.key.id });
    operation.input = undefined;
    return [];
  },
  C_DigestFinal(application, handle, capacity) {
    const session = application.session(handle);
    const operation = session.running("digest");
    part(session, "digest", operation);
    return deliver(session, "digest", operation, capacity, HASH_BYTES[operation.hash], true, () =>
      operation.keyed === undefined
        ? operation.state.digest()
        : application.ports.sessionKeys.digest(operation.hash, operation.keyed),
    );
  },
};
