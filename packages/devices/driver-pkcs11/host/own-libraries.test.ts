import assert from "node:assert/strict";
import { test } from "node:test";
import { sharesOpenSsl } from "./own-libraries.ts";

test("Node's OpenSSL stands in for the same major version alone", () => {
  const shares = (...names: readonly string[]): boolean =>
    sharesOpenSsl(
      Buffer.from(`\x7fELF\0\xff\xfe\0${names.map((name) => `${name}\0`).join("")}libc.so.6\0`, "latin1"),
      "3.5.8",
    );
  assert.equal(shares("libcrypto.so.3"), true);
  assert.equal(shares("libcrypto.so.1.1"), false);
  assert.equal(shares("libcrypto.so.30"), false);
  assert.equal(shares("libcrypto.so.3", "libcrypto.so.1.1"), false);
  assert.equal(shares("libssl.so.3"), false);
  assert.equal(shares(), false);
});
