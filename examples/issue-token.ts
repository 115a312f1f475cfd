/** A JSON Web Token (RFC 7519, ES256) whose key never leaves the device. Verified here with the public key alone. */
import { createPublicKey, verify } from "node:crypto";
import { connect } from "./connect.ts";

using client = connect();
const key = `jwt-${Date.now()}`;
await client.createKey({ name: key, algorithm: "ec-p256", usages: ["sign"] });

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = { iss: "https://issuer.example", sub: "alice", exp: Math.floor(Date.now() / 1000) + 600 };
const text = `${part({ alg: "ES256", kid: key })}.${part(claims)}`;
const { signature } = await client.sign(key, { input: new TextEncoder().encode(text) });

/** JWS wants r ‖ s (RFC 7518 §3.4); devices give DER. */
function rawSignature(der: Uint8Array): Uint8Array {
  const out = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1] ?? 0;
    const value = der.subarray(at + 2, at + 2 + length).subarray(-32);
    out.set(value, end - value.length);
    at += 2 + length;
  }
  return out;
}

const jws = rawSignature(signature);
process.stdout.write(`${text}.${Buffer.from(jws).toString("base64url")}\n`);

const { publicKey } = await client.getPublicKey(key);
const verifier = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
const good = verify("sha256", Buffer.from(text), { key: verifier, dsaEncoding: "ieee-p1363" }, jws);
process.stdout.write(good ? "verified\n" : "NOT verified\n");
process.exitCode = good ? 0 : 1;
