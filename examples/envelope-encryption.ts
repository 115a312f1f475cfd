/** A payload of any size: encrypted here under a fresh data key, which is kept only wrapped by a key in the device. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { connect } from "./connect.ts";

using client = connect();
const key = `files-${Date.now()}`;
await client.createKey({ name: key, algorithm: "aes-256", usages: ["encrypt"] });
const context = new TextEncoder().encode("backup/2026-11-23");
const payload = randomBytes(5_000_000);

// Encrypt: the plaintext data key lives only as long as it is used.
const made = await client.createDataKeys(key, { count: 1, bytes: 32, plaintext: true, context });
const [dataKey] = made.keys;
if (dataKey?.plaintext === undefined) throw new Error("no data key");
const nonce = randomBytes(12);
const cipher = createCipheriv("aes-256-gcm", dataKey.plaintext, nonce);
const ciphertext = Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
dataKey.plaintext.fill(0);
const stored = { wrapped: dataKey.wrapped, nonce, ciphertext };

// Decrypt: the device unwraps the data key for whoever may decrypt with the key, under the same context.
const { plaintext: unwrapped } = await client.decrypt(key, { data: stored.wrapped, context });
const decipher = createDecipheriv("aes-256-gcm", unwrapped, stored.nonce);
decipher.setAuthTag(stored.ciphertext.subarray(-16));
const back = Buffer.concat([decipher.update(stored.ciphertext.subarray(0, -16)), decipher.final()]);
unwrapped.fill(0);

const same = back.equals(payload);
process.stdout.write(same ? `${payload.length} bytes went out and came back\n` : "the payload changed\n");
process.exitCode = same ? 0 : 1;
