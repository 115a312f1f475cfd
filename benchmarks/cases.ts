/** The operations that are measured, and the ratios that are aimed at. */
import { createHash, randomBytes } from "node:crypto";
import type { CipherScheme, InputKind, KeyAlgorithm, SignScheme } from "@casemate/devices/contract";

export type Path = "engine" | "rest" | "rest-batch";

/** Ratio to raw OpenSSL, or operations per core-second where the table says so. */
export type Target = { readonly ratio: number } | { readonly perCoreSecond: number };

export interface Case {
  /** A name of benchmarks/raw. */
  readonly name: string;
  readonly algorithm: KeyAlgorithm;
  readonly work:
    | { readonly kind: "sign"; readonly scheme: SignScheme; readonly input: InputKind }
    | { readonly kind: "encrypt"; readonly scheme: CipherScheme };
  readonly data: Uint8Array;
  readonly targets: Readonly<Partial<Record<Path, Target>>>;
}

const message = randomBytes(32);
const digest = createHash("sha256").update(message).digest();

export const CASES: readonly Case[] = [
  {
    name: "ec-p256",
    algorithm: "ec-p256",
    work: { kind: "sign", scheme: "ecdsa-sha256", input: "message" },
    data: message,
    targets: { engine: { ratio: 0.7 }, "rest-batch": { ratio: 0.65 }, rest: { ratio: 0.2 } },
  },
  {
    name: "ec-p256-digest",
    algorithm: "ec-p256",
    work: { kind: "sign", scheme: "ecdsa-sha256", input: "digest" },
    data: digest,
    targets: { engine: { ratio: 0.7 }, "rest-batch": { ratio: 0.65 }, rest: { ratio: 0.2 } },
  },
  {
    name: "rsa-2048",
    algorithm: "rsa-2048",
    work: { kind: "sign", scheme: "rsa-pkcs1-sha256", input: "message" },
    data: message,
    targets: { engine: { ratio: 0.8 }, "rest-batch": { ratio: 0.8 }, rest: { ratio: 0.6 } },
  },
  {
    name: "rsa-4096",
    algorithm: "rsa-4096",
    work: { kind: "sign", scheme: "rsa-pkcs1-sha256", input: "message" },
    data: message,
    targets: {},
  },
  {
    name: "ed25519",
    algorithm: "ed25519",
    work: { kind: "sign", scheme: "pure", input: "message" },
    data: message,
    targets: {},
  },
  {
    name: "ml-dsa-65",
    algorithm: "ml-dsa-65",
    work: { kind: "sign", scheme: "pure", input: "message" },
    data: message,
    targets: { engine: { ratio: 0.85 } },
  },
  {
    name: "aes-256-gcm-1k",
    algorithm: "aes-256",
    work: { kind: "encrypt", scheme: "aes-gcm" },
    data: randomBytes(1024),
    targets: { "rest-batch": { perCoreSecond: 50_000 }, rest: { perCoreSecond: 10_000 } },
  },
];
