/** Every verb against one server, as rows: what is typed, how it exits, what it says. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { casemate, startServer, temporary, type Ran, type RunningServer } from "./harness.ts";

interface Row {
  readonly type: string;
  /** 0 unless said. */
  readonly exits?: number;
  /** Standard output for 0, standard error else. */
  readonly says?: RegExp;
  readonly input?: string;
  readonly check?: (ran: Ran, at: (name: string) => string) => void;
}

/** Exit code 1 is their answer: nothing went wrong. */
const NO_ERROR = /^(?:verify|mac|policy (?:test|explain)) /;

/** Wrong in words, names and states: each must say what to do. */
const REFUSED: readonly Row[] = [
  { type: "key show nope", exits: 1, says: /no key is called "nope" \(NOT_FOUND\)\nHint: casemate key list/ },
  { type: "wrap ec --wrapping-key nope", exits: 1, says: /NOT_FOUND/ },
  { type: "token revoke nope", exits: 1, says: /Hint: casemate token list/ },
  { type: "device remove nope", exits: 1, says: /Hint: There are: hsm-1/ },
  { type: "device lock hsm-1", exits: 1, says: /NOT_SUPPORTED/ },
  { type: "device unlock hsm-1", exits: 1, says: /NOT_SUPPORTED/ },
  { type: "token create p --role user --expires 3651d", exits: 2, says: /--expires is at most 3650d/ },
  { type: "key data-keys ec", exits: 1, says: /ec was not made to make data keys[\s\S]*created for encrypt/ },
  { type: "key create past --algorithm ed25519 --deactivate-at 2020-01-01", exits: 1, says: /in the past/ },
  {
    type: "key create past --algorithm nope",
    exits: 2,
    says: /^casemate: --algorithm does not take nope/,
  },
  { type: "key list --state nope", exits: 2, says: /^casemate: --state does not take nope/ },
  { type: "key destroy ec --wait-days 366", exits: 2, says: /from 1 to 365/ },
  { type: "key create past --algorithm ed25519 --label x", exits: 2, says: /name=value/ },
  { type: "random 0", exits: 2, says: /from 1 to 65536/ },
  {
    type: "nope --json",
    exits: 2,
    check: ({ stderr }) =>
      assert.match((JSON.parse(stderr) as { error: { message: string } }).error.message, /unknown command/),
  },
  {
    type: "--json key",
    exits: 2,
    check: ({ stderr }) => assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, "BAD_REQUEST"),
  },
];

/** Too large to be sent whole. */
const LARGE_TEXT = "t".repeat(2_000_000);

const json = <T>(ran: Ran): T => JSON.parse(ran.stdout) as T;

const KEYS: readonly Row[] = [
  { type: "key list", says: /No keys yet\. Make one with/ },
  { type: "key list --json", check: (ran) => assert.deepEqual(json(ran), []) },
  {
    type: "key create ec --algorithm ec-p256 --use sign",
    says: /^Key ec created: ec-p256 for sign in hsm-1, active\.\n$/,
  },
  { type: "key create ec --algorithm ec-p256", exits: 1, says: /ALREADY_EXISTS/ },
  { type: "key create bad/name --algorithm ec-p256", exits: 1, says: /BAD_REQUEST/ },
  {
    type: "key create odd --algorithm rot-13",
    exits: 2,
    says: /does not take rot-13 \(BAD_REQUEST\)\nHint: It takes: rsa-2048/,
  },
  {
    type: "key create aes --algorithm aes-256 --use encrypt --label team=web --label tier=1 --rotate-every 90 --json",
    check: (ran) => {
      const key = json<{ name: string; labels: object; rotateEveryDays: number; usages: string[] }>(ran);
      assert.deepEqual([key.name, key.labels, key.rotateEveryDays], ["aes", { team: "web", tier: "1" }, 90]);
      assert.deepEqual(key.usages, ["encrypt"]);
    },
  },
  { type: "key create hmac --algorithm hmac-sha256" },
  { type: "key create kek --algorithm aes-256 --use wrap" },
  { type: "key create out --algorithm aes-256 --use encrypt --exportable" },
  { type: "key create dh --algorithm x25519" },
  { type: "key create kem --algorithm ml-kem-768" },
  { type: "key create later --algorithm ed25519 --activate-at +30d", says: /pre-active/ },
  {
    type: "key list --prefix e --json",
    check: (ran) =>
      assert.deepEqual(
        json<{ name: string }[]>(ran).map(({ name }) => name),
        ["ec"],
      ),
  },
  { type: "key list --algorithm aes-256 --limit 2", says: /^NAME .*\naes .*\nkek .*\n$/ },
  { type: "key show aes", says: /rotation +every 90 days[\s\S]*labels +team=web tier=1/ },
  { type: "key show nothing", exits: 1, says: /NOT_FOUND/ },
  {
    type: "key create ../x --algorithm aes-256",
    exits: 1,
    says: /name must be 1 to 128 of A-Z a-z 0-9 \. _ -, starting/,
  },
  { type: "key list --state foo", exits: 2, says: /It takes: pre-active, active, / },
  {
    type: "key update aes --no-rotate-every --label team=api --json",
    check: (ran) => assert.deepEqual(json<{ labels: object }>(ran).labels, { team: "api" }),
  },
  { type: "key update aes", exits: 2, says: /nothing to change/ },
];

const USES: readonly Row[] = [
  { type: "sign ec --in @message --out @sig", says: /Signed with ec version 1 \(ecdsa-sha256\): \d+ bytes/ },
  { type: "verify ec --in @message --signature @sig", says: /Signature ok: ec version 1/ },
  { type: "verify ec --in @other --signature @sig", exits: 1 },
  {
    type: "verify ec --in @other --signature @sig --json",
    exits: 1,
    check: (ran) => assert.equal(json<{ valid: boolean }>(ran).valid, false),
  },
  { type: "sign ec", input: "from a pipe", check: (ran) => assert.equal(ran.bytes[0], 0x30) },
  { type: "sign ec --in @large --out @large.sig", says: /ecdsa-sha256/ },
  { type: "verify ec --in @large --signature @large.sig", says: /Signature ok/ },
  {
    type: "sign ec --in @digest --digest --json",
    check: (ran) => assert.equal(json<{ scheme: string }>(ran).scheme, "ecdsa-sha256"),
  },
  { type: "key create edwards --algorithm ed25519" },
  { type: "sign edwards --in @sha512 --digest --out @ph.sig", says: /prehash-sha512/ },
  { type: "verify edwards --in @sha512 --digest --signature @ph.sig", says: /Signature ok/ },
  { type: "verify edwards --in @message --scheme prehash-sha512 --signature @ph.sig", says: /Signature ok/ },
  { type: "verify edwards --in @message --signature @ph.sig", exits: 1 },
  { type: "sign edwards --in @sha512 --digest --scheme pure", exits: 1, says: /NOT_SUPPORTED[\s\S]*prehash-sha512/ },
  { type: "sign edwards --in @digest --digest", exits: 1, says: /64 bytes, got 32 \(BAD_REQUEST\)/ },
  { type: "sign edwards --in @large --out @nowhere", exits: 2, says: /prehash-sha512/ },
  { type: "sign edwards --in @large --scheme prehash-sha512 --out @large.ph", says: /prehash-sha512/ },
  { type: "verify edwards --in @large --scheme prehash-sha512 --signature @large.ph", says: /Signature ok/ },
  { type: "sign ec --in @message --scheme pure", exits: 1 },
  { type: "sign ec --in @data", exits: 1, says: /\/data cannot be used: it is a directory \(EISDIR\)/ },
  { type: "verify ec --in @message --signature @data", exits: 1, says: /\/data cannot be used: it is a directory/ },
  { type: "sign ec --out @large.sig", input: LARGE_TEXT, says: /Signed with ec version 1/ },
  { type: "verify ec --in @large.txt --signature @large.sig", says: /Signature ok/ },
  { type: "verify ec --signature @large.sig", input: LARGE_TEXT, says: /Signature ok/ },
  { type: "sign edwards", input: LARGE_TEXT, exits: 2, says: /standard input has 2000000 bytes[\s\S]*prehash-sha512/ },
  { type: "sign ec --in @large --digest", exits: 1, says: /input has 3000000 bytes, the limit is 1048576/ },
  { type: "sign aes --in @message", exits: 1, says: /KEY_USAGE/ },
  { type: "sign later --in @message", exits: 1, says: /KEY_STATE/ },
  {
    type: "key public ec --out @ec.pem",
    check: (_, at) => assert.match(readFileSync(at("ec.pem"), "utf8"), /BEGIN PUBLIC KEY/),
  },
  { type: "key public ec --der", check: (ran) => assert.equal(ran.bytes[0], 0x30) },
  { type: "key public aes", exits: 1, says: /NOT_SUPPORTED/ },
  { type: "key export ec", exits: 1, says: /NOT_EXPORTABLE[\s\S]*Hint: / },
  { type: "encrypt aes --in @message --out @ct --context files/1", says: /Encrypted under aes version 1: / },
  {
    type: "decrypt aes --in @ct --out @pt --context files/1",
    says: /Decrypted by aes: /,
    check: (_, at) => {
      assert.equal(readFileSync(at("pt"), "utf8"), "a message");
      assert.equal(statSync(at("pt")).mode & 0o777, 0o600, "a plaintext is the owner's alone");
    },
  },
  { type: "decrypt aes --in @ct --context files/2", exits: 1, says: /DECRYPT_FAILED/ },
  {
    type: "encrypt aes --in @large --out @large.ct --context files/2",
    says: /Encrypted under a data key of aes version 1/,
    check: (_, at) => assert.ok(statSync(at("large.ct")).size > 3_000_000),
  },
  {
    type: "decrypt aes --in @large.ct --out @large.pt --context files/2",
    says: /Decrypted by a data key of aes: /,
    check: (_, at) => {
      assert.deepEqual(readFileSync(at("large.pt")), readFileSync(at("large")));
      assert.equal(statSync(at("large.pt")).mode & 0o777, 0o600);
    },
  },
  { type: "decrypt aes --in @large.ct --context files/3", exits: 1, says: /DECRYPT_FAILED/ },
  { type: "decrypt aes --in @short", exits: 1, says: /no ciphertext.*3 bytes.*DECRYPT_FAILED[\s\S]*Hint: Give what/ },
  { type: "decrypt aes --in @message", exits: 1, says: /no ciphertext.*begins otherwise \(DECRYPT_FAILED\)/ },
  { type: "decrypt ec --in @message", exits: 1, says: /ec was not made to decrypt \(KEY_USAGE\)[\s\S]*a key for sign/ },
  { type: "decrypt ec --in @large.ct", exits: 1, says: /ec was not made to decrypt \(KEY_USAGE\)/ },
  { type: "decrypt out --in @ct", exits: 1, says: /does not belong to this key or was changed \(DECRYPT_FAILED\)/ },
  {
    type: "decrypt out --in @large.ct --context files/2",
    exits: 1,
    says: /data key of this envelope is not one that out wrapped.*\(DECRYPT_FAILED\)[\s\S]*Hint: /,
  },
  { type: "decrypt aes --in @ct --raw", exits: 1, says: /which key version[\s\S]*--version/ },
  { type: "decrypt aes --in @ct --version 2", exits: 1, says: /is of version 1, not 2[\s\S]*Leave the version out/ },
  { type: "encrypt aes --out @stdin.ct", input: LARGE_TEXT, says: /Encrypted under a data key of aes/ },
  { type: "decrypt aes --in @stdin.ct", check: (ran) => assert.equal(ran.stdout, LARGE_TEXT) },
  { type: "encrypt hmac --in @large --out @nowhere", exits: 1, says: /KEY_USAGE|NOT_SUPPORTED/ },
  { type: "encrypt aes --in @message --envelope --out @small.ct" },
  { type: "decrypt aes --in @small.ct", says: /^a message$/ },
  { type: "mac hmac --in @message", says: /^[0-9a-f]{64}\n$/ },
  { type: "mac hmac --in @message --out @mac" },
  { type: "mac hmac --in @message --check @mac", says: /Code ok/ },
  { type: "mac hmac --in @other --check @mac", exits: 1 },
  { type: "mac hmac --in @large", exits: 1, says: /input has 3000000 bytes, the limit is 1048576 \(TOO_LARGE\)/ },
  { type: "mac hmac", input: "m".repeat(9_000_000), exits: 1, says: /TOO_LARGE[\s\S]*Hint: .*1048576 bytes/ },
  {
    type: "mac hmac --in @message --check @large",
    exits: 1,
    says: /mac has 3000000 bytes, the limit is 65536 \(TOO_LARGE\)/,
  },
  { type: "random 16", says: /^[0-9a-f]{32}\n$/ },
  {
    type: "random 16 --out @random --json",
    check(ran, at) {
      assert.deepEqual(Object.keys(json<object>(ran)).toSorted(), ["out"], "the bytes are in the file alone");
      assert.equal(readFileSync(at("random")).length, 16);
    },
  },
  { type: "random 0", exits: 2, says: /whole number from 1 to 65536/ },
  { type: "wrap out --wrapping-key kek --out @wrapped" },
  { type: "wrap aes --wrapping-key kek", exits: 1, says: /NOT_EXPORTABLE/ },
  {
    type: "unwrap back --algorithm aes-256 --use encrypt --wrapping-key kek --in @wrapped",
    says: /Key back imported: aes-256/,
  },
  { type: "key import again --algorithm aes-256 --wrapping-key kek --in @message", exits: 1 },
  {
    type: "key data-keys aes --count 2 --plaintext --json",
    check: (ran) => assert.equal(json<{ keys: unknown[] }>(ran).keys.length, 2),
  },
  { type: "key public dh --out @dh.pem" },
  { type: "key agree dh --peer @dh.pem", says: /^[0-9a-f]{64}\n$/ },
  { type: "key encapsulate kem --ciphertext @kem.ct --out @kem.a" },
  {
    type: "key decapsulate kem --in @kem.ct --out @kem.b",
    check: (_, at) => assert.deepEqual(readFileSync(at("kem.a")), readFileSync(at("kem.b"))),
  },
];

const LIFECYCLE: readonly Row[] = [
  { type: "key rotate ec", says: /version 2 is used from now on/ },
  { type: "verify ec --in @message --signature @sig --version 1", says: /Signature ok: ec version 1/ },
  { type: "key suspend ec --reason inventory", says: /Key ec is suspended/ },
  { type: "sign ec --in @message", exits: 1, says: /KEY_STATE/ },
  { type: "key resume ec", says: /active again/ },
  { type: "key activate later", says: /Key later is active/ },
  { type: "key deactivate later", says: /deactivated/ },
  { type: "key activate later", exits: 1, says: /KEY_STATE/ },
  { type: "key compromise later --reason lost", says: /compromised/ },
  { type: "key destroy later", says: /will be destroyed at .*key restore later/ },
  { type: "key restore later", says: /will not be destroyed/ },
  { type: "key destroy later --now", says: /Key later is destroyed; its material is gone/ },
  { type: "key restore later", exits: 1 },
];

const ADMINISTRATION: readonly Row[] = [
  { type: "status", says: /Casemate \S+ answers at .*casemate\.sock: ok\.\nYou are admin \(admin\)/ },
  { type: "audit verify --dir @nowhere", exits: 1, says: /nowhere does not exist \(NOT_FOUND\)[\s\S]*--data DIR/ },
  {
    type: "status --help",
    says: /0 when all is well or there is only a warning, 1 while there is an alarm, 3 while no server answers/,
  },
  { type: "--help", says: /Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no server answers/ },
  { type: "status --json", check: (ran) => assert.equal(json<{ devices: unknown[] }>(ran).devices.length, 1) },
  { type: "device list", says: /hsm-1 +hsm \(virtual\) +operational/ },
  { type: "device show hsm-1", says: /Isolation on this machine, found by trying:[\s\S]*Algorithms:\n/ },
  {
    type: "device show hsm-1 --json",
    check: (ran) => assert.equal(json<{ identity: { virtual: boolean } }>(ran).identity.virtual, true),
  },
  { type: "device show hsm-9", exits: 1, says: /NOT_FOUND/ },
  { type: "device remove hsm-1", exits: 1, says: /the only device/ },
  { type: "device zeroize hsm-1", exits: 2, says: /--yes hsm-1/ },
  { type: "device add virtual-hsm --id Bad_Id", exits: 1, says: /BAD_REQUEST/ },
  { type: "device add virtual-hsm", says: /Device hsm-2 is added and operational/ },
  { type: "key create second --algorithm ed25519 --device hsm-2", says: /in hsm-2/ },
  { type: "device remove hsm-2", exits: 1, says: /1 keys? (is|are) in hsm-2/ },
  { type: "key destroy second --now" },
  {
    type: "token create ci --role user --expires 1d --out @ci.token",
    check: (_, at) => assert.equal(statSync(at("ci.token")).mode & 0o777, 0o600),
  },
  { type: "token create twice --role user --out @ci.token", exits: 1, says: /exists already.*\(ALREADY_EXISTS\)/ },
  {
    type: "token list --json",
    check: (ran) => assert.ok(!json<{ principal: string }[]>(ran).some(({ principal }) => principal === "twice")),
  },
  {
    type: "token create ci --role wizard",
    exits: 2,
    says: /wizard \(BAD_REQUEST\)\nHint: It takes: admin, operator, user, auditor\./,
  },
  { type: "token create ci --role user --expires soon", exits: 2, says: /--expires takes a duration/ },
  { type: "token list", says: /ci +user +valid/ },
  {
    type: "token list --json",
    check: (ran) =>
      assert.ok(!json<{ principal: string }[]>(ran).some(({ principal }) => principal.startsWith("pkcs11"))),
  },
  { type: "key list --token-file @ci.token", says: /NAME/ },
  { type: "key create x --algorithm ed25519 --token-file @ci.token", exits: 1, says: /FORBIDDEN/ },
  { type: "token list --token-file @ci.token", exits: 1, says: /FORBIDDEN/ },
  { type: "key list --token-file @message", exits: 1, says: /UNAUTHENTICATED/ },
  { type: "key list --token-file @nothing", exits: 1, says: /cannot be read/ },
  {
    type: "policy test --in @night --principal ci --role user --action key.sign --key ec --source pkcs11 --at 2030-01-01T03:00:00Z",
    says: /refused \(forbidden\)/,
  },
  {
    type: "policy test --in @night --principal ci --role user --action key.sign --key ec --source rest/tls/192.0.2.7 --at 2030-01-01T09:00:00Z",
    says: /allowed \(permitted\)/,
  },
  { type: "policy explain ci key.sign --role user --key ec --at soon", exits: 2, says: /--at takes a time/ },
  { type: "policy list", says: /built-in\.admin \(built in\)\n[^#]*permit\(/ },
  { type: "policy list --help", says: /all policies with their texts/ },
  {
    type: "policy test --in @policy --principal ci --role user --action key.sign --key ec",
    says: /The text is a valid policy\.\nrefused/,
  },
  { type: "policy test --in @message", exits: 1, says: /CONFIG_INVALID/ },
  { type: "policy set no-signing --in @policy", says: /in force/ },
  { type: "policy explain ci key.sign --role user --key ec", exits: 1 },
  { type: "sign ec --in @message --token-file @ci.token", exits: 1, says: /FORBIDDEN/ },
  { type: "policy set no-signing", input: "", says: /is removed/ },
  { type: "policy explain ci key.sign --role user --key ec", says: /^allowed/ },
  { type: "audit list --limit 3", says: /INDEX +TIME/ },
  {
    type: "audit list --outcome FORBIDDEN --principal ci --json",
    check: (ran) => assert.ok(json<unknown[]>(ran).length >= 3),
  },
  { type: "audit checkpoint --out @checkpoint", says: /signed by hsm-1/ },
  { type: "audit prove 0", says: /"leafHash"/ },
  { type: "random 8 --out - --json", check: (ran) => assert.ok(json<{ bytes: string }>(ran).bytes) },
  {
    type: "encrypt aes --in @message --envelope --out - --json",
    check: (ran) => assert.ok(json<{ ciphertext: string }>(ran).ciphertext),
  },
  {
    type: "up --listen nowhere --json",
    exits: 2,
    check: ({ stderr }) =>
      assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, "CONFIG_INVALID"),
  },
  { type: "audit prove", exits: 2, says: /name a record/ },
  { type: "audit prove 1 --since 2", exits: 2, says: /not both/ },
  { type: "audit prove --since 2 --json", check: (ran) => assert.ok(json<{ path: unknown[] }>(ran).path.length > 0) },
  { type: "audit verify --checkpoint @checkpoint", says: /chain ok, \d+ records, checkpoint signed by hsm-1/ },
  { type: "audit verify --dir @nothing", exits: 1 },
  {
    type: "bench --algorithm ed25519 --seconds 1 --json",
    check: (ran) => assert.ok((json<{ perSecond: number }[]>(ran)[0]?.perSecond ?? 0) > 0),
  },
  {
    type: "doctor --json",
    check: (ran) => assert.ok(json<{ about: string }[]>(ran).some(({ about }) => about === "secure heap locked")),
  },
];

describe("every verb of the command line", () => {
  const directory = temporary();
  const at = (name: string): string => join(directory.path, name);
  const data = at("data");
  let server: RunningServer | undefined;

  before(async () => {
    writeFileSync(at("message"), "a message");
    writeFileSync(at("other"), "another message");
    writeFileSync(at("digest"), new Uint8Array(32).fill(7));
    writeFileSync(at("sha512"), createHash("sha512").update("a message").digest());
    writeFileSync(at("short"), "abc");
    writeFileSync(at("large.txt"), LARGE_TEXT);
    writeFileSync(at("large"), new Uint8Array(3_000_000).fill(1));
    writeFileSync(
      at("night"),
      'forbid(principal, action == Action::"key.sign", resource) unless { context has address && context.hour >= 6 };',
    );
    writeFileSync(at("policy"), 'forbid(principal == User::"ci", action == Action::"key.sign", resource);\n');
    server = await startServer(data);
  });
  after(async () => {
    await server?.stop();
    directory[Symbol.dispose]();
  });

  for (const row of [...KEYS, ...USES, ...LIFECYCLE, ...ADMINISTRATION, ...REFUSED]) {
    const { type, exits = 0, says, input, check } = row;
    test(`casemate ${type}`, async () => {
      const args = type.split(" ").map((word) => (word.startsWith("@") ? at(word.slice(1)) : word));
      const ran = await casemate(data, args, input === undefined ? {} : { input });
      assert.equal(ran.status, exits, `${ran.stdout}${ran.stderr}`);
      if (exits !== 0 && !NO_ERROR.test(type) && !type.includes("--json"))
        assert.match(ran.stderr, /\nHint: ./, "what is refused says what to do");
      if (says !== undefined) assert.match(exits === 0 ? ran.stdout : ran.stderr, says);
      check?.(ran, at);
    });
  }
});
