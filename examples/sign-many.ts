/** A thousand signatures: written as single calls, sent as few batches by the SDK. */
import { createPublicKey, verify } from "node:crypto";
import { connect } from "./connect.ts";

using client = connect();
const key = `many-${Date.now()}`;
await client.createKey({ name: key, algorithm: "ed25519", usages: ["sign"] });

const messages = Array.from({ length: 1000 }, (_, i) => new TextEncoder().encode(`message ${i}`));
const batcher = client.batcher(key);
const signed = await Promise.all(messages.map((message) => batcher.sign(message)));

const { publicKey } = await client.getPublicKey(key);
const verifier = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
const good = signed.filter(({ signature }, i) =>
  verify(null, messages[i] ?? new Uint8Array(), verifier, signature),
).length;
process.stdout.write(`${good} of ${messages.length} signatures verify\n`);
process.exitCode = good === messages.length ? 0 : 1;
