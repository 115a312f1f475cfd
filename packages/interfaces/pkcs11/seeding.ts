// Implements: PKCS #11 v3.0 §5.20.1, C_SeedRandom: what an application adds is mixed in and can make nothing worse.
import { createHash, randomBytes } from "node:crypto";

const FRESH = 32;

export class Seeding {
  #seed: Uint8Array | undefined;

  add(seed: Uint8Array): void {
    this.#seed = createHash("sha512")
      .update(this.#seed ?? new Uint8Array(0))
      .update(seed)
      .digest();
  }

  /** XORs SHAKE256 of the seed and fresh randomness over `bytes`; leaves them as they are when nothing was added. */
  stir(bytes: Uint8Array): void {
    if (this.#seed === undefined || bytes.length === 0) return;
    const mask = createHash("shake256", { outputLength: bytes.length })
      .update(this.#seed)
      .update(randomBytes(FRESH))
      .digest();
    for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) ^ (mask[i] ?? 0);
  }
}
