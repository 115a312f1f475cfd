// Implements: PKCS #11 v3.0 §4.6.3 and §4.10, CKA_CHECK_VALUE: three bytes by which people compare certificates and secret keys.
import { createHash } from "node:crypto";
import { equalBytes } from "@casemate/foundation/bytes";
import { CKA } from "@casemate/protocols/p11-rpc";
import type { SessionSecret } from "./session-keyring.ts";
import { failure } from "./status.ts";
import { bytesOf, type Value } from "./values.ts";

const LENGTH = 3;

const hashed = (value: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha1").update(value).digest().subarray(0, LENGTH));

/**
 * Sets the check value, or compares the one that the application gave; an empty one asks for none.
 * @throws CKR_ATTRIBUTE_VALUE_INVALID when they differ.
 */
function settle(attributes: Map<number, Value>, right: Uint8Array): void {
  const given = bytesOf(attributes, CKA.CHECK_VALUE);
  if (given === undefined) attributes.set(CKA.CHECK_VALUE, right);
  else if (given.length > 0 && !equalBytes(given, right)) throw failure("ATTRIBUTE_VALUE_INVALID", "CKA_CHECK_VALUE");
}

/** For a secret key, by what its process says of it. @throws CKR_ATTRIBUTE_VALUE_INVALID. */
export function checkSecretValue(attributes: Map<number, Value>, { check }: SessionSecret): void {
  if (check.length > 0) settle(attributes, check);
}

/** For a certificate, by its CKA_VALUE if it has one. @throws CKR_ATTRIBUTE_VALUE_INVALID. */
export function checkCertificateValue(attributes: Map<number, Value>): void {
  const value = bytesOf(attributes, CKA.VALUE);
  if (value !== undefined && value.length > 0) settle(attributes, hashed(value));
}
