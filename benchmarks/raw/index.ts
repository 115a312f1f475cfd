/** Raw OpenSSL speed, measured in this process: the divisor of every ratio the benchmarks print. */
import { spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RawSpeed {
  readonly operation: string;
  /** Operations per second of CPU, one thread. */
  readonly perCoreSecond: number;
  /** "EVP loop in C", or the weaker reference that was used instead. */
  readonly method: string;
}

type Run = (what: number, key: Uint8Array, input: Uint8Array, seconds: number) => [number, number, number];

/** Compiles and loads the C loop; undefined where there is no C compiler. */
export function loadRaw(): Run | undefined {
  const folder = mkdtempSync(join(tmpdir(), "casemate-raw-"));
  const library = join(folder, "raw.node");
  try {
    const built = spawnSync("cc", ["-O2", "-shared", "-fPIC", "-o", library, join(import.meta.dirname, "raw.c")], {
      encoding: "utf8",
    });
    if (built.status !== 0) return undefined;
    const module = { exports: {} as { run: Run } };
    process.dlopen(module, library);
    return module.exports.run;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface RawCase {
  readonly what: number;
  readonly input: Uint8Array;
  readonly key: () => Uint8Array;
}

const pkcs8 = (type: string, options: object = {}): Uint8Array => {
  const generate = generateKeyPairSync as unknown as (
    type: string,
    options: object,
  ) => { privateKey: { export(o: object): Buffer } };
  return generate(type, options).privateKey.export({ format: "der", type: "pkcs8" });
};

const CASES: Readonly<Record<string, RawCase>> = {
  "rsa-2048": { what: 1, input: randomBytes(32), key: () => pkcs8("rsa", { modulusLength: 2048 }) },
  "rsa-4096": { what: 1, input: randomBytes(32), key: () => pkcs8("rsa", { modulusLength: 4096 }) },
  "ec-p256": { what: 1, input: randomBytes(32), key: () => pkcs8("ec", { namedCurve: "P-256" }) },
  "ec-p256-digest": { what: 0, input: randomBytes(32), key: () => pkcs8("ec", { namedCurve: "P-256" }) },
  ed25519: { what: 2, input: randomBytes(32), key: () => pkcs8("ed25519") },
  "ml-dsa-65": { what: 2, input: randomBytes(32), key: () => pkcs8("ml-dsa-65") },
  "aes-256-gcm-1k": { what: 3, input: randomBytes(1024), key: () => randomBytes(32) },
};

/** Speed of one operation for about `seconds`. Without a C compiler: node:crypto's own sign, said in `method`. */
export function rawSpeed(run: Run | undefined, operation: string, seconds: number): RawSpeed {
  const item = CASES[operation];
  if (item === undefined) throw new RangeError(`no raw loop for ${operation}`);
  const key = item.key();
  if (run !== undefined) {
    const [count, cpu] = run(item.what, key, item.input, seconds);
    if (count > 0 && cpu > 0) return { operation, perCoreSecond: count / cpu, method: "EVP loop in C" };
  }
  if (item.what === 3) return { operation, perCoreSecond: Number.NaN, method: "none: no C compiler" };
  const privateKey = createPrivateKey({ key: Buffer.from(key), format: "der", type: "pkcs8" });
  const digest = item.what === 2 ? null : "sha256";
  const start = process.cpuUsage();
  const until = performance.now() + seconds * 1000;
  let count = 0;
  for (; performance.now() < until; count++) sign(digest, item.input, privateKey);
  const used = process.cpuUsage(start);
  return {
    operation,
    perCoreSecond: count / ((used.user + used.system) / 1e6),
    method: "node:crypto loop (no C compiler)",
  };
}

export const RAW_OPERATIONS: readonly string[] = Object.keys(CASES);
