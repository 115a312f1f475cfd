import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { desk, missing, MODULE, PIN, type Desk } from "./pkcs11-in-harness.ts";

const skip = missing("kzonesign", "dnssec-verify", "pkcs11-tool") ?? false;

describe("DNSSEC with a key in Casemate", { skip }, () => {
  let here: Desk;
  before(async () => {
    here = await desk();
  });
  after(() => here[Symbol.asyncDispose]());

  test("Knot makes the key in the device and signs a zone that BIND verifies", async () => {
    for (const name of ["run", "database", "out"]) mkdirSync(here.file(name));
    here.write(
      "knot.conf",
      `server:
    rundir: "${here.file("run")}"
database:
    storage: "${here.file("database")}"
keystore:
  - id: casemate
    backend: pkcs11
    config: "pkcs11:token=casemate;pin-value=${PIN} ${MODULE}"
policy:
  - id: policy
    keystore: casemate
    single-type-signing: on
    algorithm: ecdsap256sha256
zone:
  - domain: example.test
    storage: "${here.work}"
    file: zone
    dnssec-signing: on
    dnssec-policy: policy
`,
    );
    here.write(
      "zone",
      "$TTL 300\n@ IN SOA ns.example.test. a.example.test. 1 300 300 3000 300\n@ IN NS ns\nns IN A 127.0.0.1\n",
    );
    const sign = () => here.run("kzonesign", ["-c", "knot.conf", "-o", "out", "example.test"]);
    // The first run makes the key; Knot signs with it from the next second on.
    await sign();
    await sleep(1100);
    const signed = await sign();
    assert.equal(signed.status, 0, signed.stderr);
    assert.match(readFileSync(here.file("out/zone"), "utf8"), /RRSIG/);
    const verified = await here.run("dnssec-verify", ["-z", "-o", "example.test", "out/zone"], {
      env: { OPENSSL_CONF: "/dev/null" },
    });
    assert.equal(verified.status, 0, verified.stderr);
    assert.match((await here.tool("-O", "--type", "privkey")).stdout, /never extractable, local/);
  });
});
