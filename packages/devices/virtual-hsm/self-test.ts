/**
 * Known answers at every start (after FIPS 140-3 IG 10.3.A): one per family of algorithms, so that a broken build of OpenSSL or of the
 * native signer stops the device before it touches a key.
 */
import * as crypto from "node:crypto";
import { equalBytes, fromBase64, fromHex, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { EcSignerFactory } from "./digest-signer.ts";
import { CURVES, type CurveRow } from "./material.ts";
import { RSA_KEY, RSA_SIGNATURE, SLH_DSA_KEY } from "./self-test-keys.ts";

const MESSAGE = toUtf8("casemate self test");

const rawPrivate = (type: string, hex: string, format: "raw-private" | "raw-seed" = "raw-private"): crypto.KeyObject =>
  crypto.createPrivateKey({
    key: fromHex(hex),
    format,
    asymmetricKeyType: type as crypto.AsymmetricKeyType,
    ...(type === "ec" ? { namedCurve: "prime256v1" } : {}),
  });

const is = (actual: Uint8Array, hex: string): boolean => equalBytes(actual, fromHex(hex));
/** 00 01 02 … */
const counting = (length: number): string => Uint8Array.from({ length }, (_, index) => index).toHex();
const rawPublic = (key: crypto.KeyObject): Uint8Array => crypto.createPublicKey(key).export({ format: "raw-public" });

const TESTS: Readonly<Record<string, (makeSigner: EcSignerFactory) => boolean>> = {
  "SHA-256 (FIPS 180-4)": () =>
    is(crypto.hash("sha256", "abc", "buffer"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
  "HMAC-SHA-256 (RFC 4231 test 2)": () =>
    is(
      crypto.createHmac("sha256", "Jefe").update("what do ya want for nothing?").digest(),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
  "AES-256-GCM (SP 800-38D, test case 14 of the GCM proposal)": () => {
    const cipher = crypto.createCipheriv("aes-256-gcm", new Uint8Array(32), new Uint8Array(12));
    const body = cipher.update(new Uint8Array(16));
    cipher.final();
    return is(body, "cea7403d4d606b6e074ec5d3baf39d18") && is(cipher.getAuthTag(), "d0d1c8a799996bf0265b98b5d48ab919");
  },
  "AES-128-ECB (SP 800-38A F.1.1)": () => {
    const cipher = crypto.createCipheriv("aes-128-ecb", fromHex("2b7e151628aed2a6abf7158809cf4f3c"), null);
    return is(cipher.update(fromHex("6bc1bee22e409f96e93d7e117393172a")), "3ad77bb40d7a3660a89ecaf32466ef97");
  },
  "AES-KWP (RFC 5649 §6)": () => {
    const kek = fromHex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
    const cipher = crypto.createCipheriv("id-aes192-wrap-pad", kek, fromHex("a65959a6"));
    return is(cipher.update(fromHex("466f7250617369")), "afbeb0f07dfbf5419200f2ccb50bb24f");
  },
  "RSA-2048 PKCS#1 v1.5": () => {
    const key = crypto.createPrivateKey({ key: Buffer.from(fromBase64(RSA_KEY)), format: "der", type: "pkcs8" });
    return equalBytes(crypto.sign("sha256", MESSAGE, key), fromBase64(RSA_SIGNATURE));
  },
  "ECDSA P-256 (RFC 6979 A.2.5)": (makeSigner) => {
    const key = rawPrivate("ec", "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    const known = fromHex(
      "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
        "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    );
    const digest = crypto.hash("sha256", "sample", "buffer");
    const signer = makeSigner(key, CURVES.get("ec-p256") as CurveRow);
    const holds =
      signer.verify(digest, known) &&
      crypto.verify("sha256", toUtf8("sample"), crypto.createPublicKey(key), signer.sign(digest));
    signer.release();
    return holds;
  },
  "Ed25519 (RFC 8032 §7.1 test 2)": () =>
    is(
      crypto.sign(
        null,
        fromHex("72"),
        rawPrivate("ed25519", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
      ),
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
  "X25519 (RFC 7748 §6.1)": () =>
    is(
      rawPublic(rawPrivate("x25519", "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")),
      "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    ),
  "ML-DSA-44": () => {
    const key = rawPrivate("ml-dsa-44", counting(32), "raw-seed");
    return (
      is(
        crypto.hash("sha256", rawPublic(key), "buffer"),
        "9f107644c1084526af3bc8098680b05499a2325a644e388fb4f970e058d19d46",
      ) && crypto.verify(null, MESSAGE, crypto.createPublicKey(key), crypto.sign(null, MESSAGE, key))
    );
  },
  "ML-KEM-512, implicit rejection": () => {
    const key = rawPrivate("ml-kem-512", counting(64), "raw-seed");
    return (
      is(
        crypto.hash("sha256", rawPublic(key), "buffer"),
        "3ae268dccc5456ac0d0f9b39257dc48fe081383b97c400512d712b739762daee",
      ) &&
      is(
        crypto.decapsulate(key, new Uint8Array(768).fill(7)),
        "f615c6b030a6e41f8cccb03d9f0b28424ef6b966cc85568b4b2967a978b31607",
      )
    );
  },
  "SLH-DSA-SHA2-128f": () => {
    const key = rawPrivate("slh-dsa-sha2-128f", SLH_DSA_KEY);
    return crypto.verify(null, MESSAGE, crypto.createPublicKey(key), crypto.sign(null, MESSAGE, key));
  },
};

/** @throws CasemateError DEVICE_FAILED naming the test that failed. */
export function runSelfTests(makeSigner: EcSignerFactory): readonly string[] {
  for (const [name, holds] of Object.entries(TESTS)) {
    let passed = false;
    let cause: unknown;
    try {
      passed = holds(makeSigner);
    } catch (error) {
      cause = error;
    }
    if (!passed) throw new CasemateError("DEVICE_FAILED", `self test failed: ${name}`, { cause });
  }
  return Object.keys(TESTS);
}
