import assert from "node:assert/strict";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { manualClock } from "@casemate/foundation/effects";
import { serverCertificate } from "@casemate/interfaces/rest";

const DAY = 86_400_000;

test("a self-made certificate names its hosts, is signed by its own key and lives 397 days", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = manualClock(Date.UTC(2030, 0, 2));
  const hosts = ["hsm.example", "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.9"];
  const made = serverCertificate({ directory, hosts, clock });
  const parsed = new X509Certificate(made.certificate);
  assert.equal(made.created, true);
  assert.equal(parsed.checkHost("hsm.example"), "hsm.example");
  assert.equal(parsed.checkHost("other.example"), undefined);
  assert.notEqual(parsed.checkIP("192.0.2.7"), undefined);
  assert.notEqual(parsed.checkIP("2001:db8::7"), undefined);
  assert.equal(parsed.checkIP("192.0.2.8"), undefined);
  assert.ok(parsed.verify(parsed.publicKey), "the signature is its own key's");
  assert.ok(parsed.checkPrivateKey(createPrivateKey(made.key)));
  assert.equal(parsed.ca, false);
  assert.equal(parsed.validToDate.getTime() - parsed.validFromDate.getTime(), 397 * DAY);
  assert.match(made.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.equal(statSync(join(directory, "server.pem")).mode & 0o777, 0o600);
});

test("the certificate is kept, and renewed when hosts change, when it nears its end and when its file is damaged", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = manualClock(Date.UTC(2049, 11, 1));
  const ask = (...hosts: string[]) => serverCertificate({ directory, hosts, clock });
  const first = ask("a.example");
  assert.equal(ask("a.example").fingerprint, first.fingerprint);
  assert.equal(ask("a.example", "b.example").created, true);
  assert.equal(ask("b.example").created, false, "fewer hosts need no new one");
  clock.advance(366 * DAY);
  assert.equal(ask("b.example").created, false);
  clock.advance(2 * DAY);
  assert.equal(ask("b.example").created, true);
  writeFileSync(join(directory, "server.pem"), "nonsense");
  assert.equal(ask("b.example").created, true);
});

test("a host that is no host name is refused", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  assert.throws(() => serverCertificate({ directory, hosts: ["bad host"], clock: manualClock() }), {
    code: "CONFIG_INVALID",
  });
});
