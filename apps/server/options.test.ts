import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parseOptions } from "./options.ts";

test("addresses to listen at are read in all their forms, others are refused", () => {
  assert.deepEqual(parseAddress("localhost:8730"), { host: "localhost", port: 8730 });
  assert.deepEqual(parseAddress("[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(parseAddress("0.0.0.0:443"), { host: "0.0.0.0", port: 443 });
  assert.deepEqual(parseAddress("9000"), { host: "localhost", port: 9000 });
  assert.deepEqual(parseAddress(":9000"), { host: "localhost", port: 9000 });
  for (const text of ["", "localhost", "localhost:", "localhost:65536", "localhost:-1", "::1:80", "a b:1:2"]) {
    assert.throws(() => parseAddress(text), { code: "CONFIG_INVALID" }, text);
  }
});

test("half a certificate, an unknown level and a missing data directory are refused", () => {
  assert.throws(() => parseOptions(["--data", "/d", "--tls-cert", "c"]), /--tls-cert and --tls-key/);
  assert.throws(() => parseOptions(["--data", "/d", "--log-level", "loud"]), /--log-level takes/);
  assert.throws(() => parseOptions(["--data", "/d", "--root", "usb"]), /--root takes/);
  assert.throws(
    () => parseOptions(["--data", "/d", "--pkcs11-audit", "never"]),
    /--pkcs11-audit takes durable, relaxed/,
  );
  assert.throws(() => parseOptions([]), /no data directory/);
  assert.deepEqual(parseOptions(["--data", "/d"]), {
    data: "/d",
    listen: { host: "localhost", port: 8730 },
    pkcs11Audit: "relaxed",
    allowOrigins: [],
    logLevel: "info",
    reseal: false,
    acceptOlderLog: false,
    json: false,
  });
});

test("origins of web pages are taken as browsers write them, and nothing else is", () => {
  const origins = (...given: string[]) =>
    parseOptions(["--data", "/d", ...given.flatMap((origin) => ["--allow-origin", origin])]).allowOrigins;
  assert.deepEqual(origins("https://app.example", "http://localhost:5173"), [
    "https://app.example",
    "http://localhost:5173",
  ]);
  const app = "https://app.example";
  for (const wrong of ["*", "null", "app.example", `${app}/`, `${app}/page`, "https://APP.example", "file:///x", ""]) {
    assert.throws(() => origins(wrong), { code: "CONFIG_INVALID" }, wrong);
  }
});
