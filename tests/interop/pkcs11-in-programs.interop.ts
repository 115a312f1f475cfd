import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, copyFileSync, mkdirSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { casemate, REPOSITORY, startServer, temporary } from "../e2e/harness.ts";
import { desk, ENGINE, environment, keyUri, missing, MODULE, PIN, type Desk } from "./pkcs11-in-harness.ts";

const PROGRAM = `${REPOSITORY}/apps/cli/bin/casemate.mjs`;
const skipAll = missing("pkcs11-tool") ?? false;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

function mayOpen(path: string): boolean {
  try {
    closeSync(openSync(path, "r+"));
    return true;
  } catch {
    return false;
  }
}

/** A Windows program of no sections: the least that a signer of programs takes. */
function emptyProgram(): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  bytes.set([0x4d, 0x5a]);
  view.setUint32(60, 64, true);
  bytes.set([0x50, 0x45], 64);
  view.setUint16(68, 0x14c, true);
  view.setUint16(84, 0xe0, true);
  view.setUint16(86, 0x102, true);
  const optional = 88;
  view.setUint16(optional, 0x10b, true);
  for (const [at, value] of [
    [16, 0x1000],
    [28, 0x400000],
    [32, 0x1000],
    [36, 0x200],
    [56, 0x1000],
    [60, 0x200],
    [92, 16],
  ] as const) {
    view.setUint32(optional + at, value, true);
  }
  view.setUint16(optional + 40, 6, true);
  view.setUint16(optional + 48, 6, true);
  view.setUint16(optional + 68, 3, true);
  return bytes;
}

describe("Debian's programs, unmodified, with keys in Casemate", { skip: skipAll }, () => {
  let here: Desk;
  before(async () => {
    here = await desk();
  });
  after(() => here[Symbol.asyncDispose]());

  const ec = (label: string, id: string) =>
    here.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", id);
  const rsa = (label: string, id: string) =>
    here.tool("--keypairgen", "--key-type", "rsa:2048", "--label", label, "--id", id);
  const request = (...args: readonly string[]) =>
    here.run("openssl", ["req", "-new", "-engine", "pkcs11", "-keyform", "engine", ...args]);

  test(
    "p11tool generates, writes a certificate and signs",
    { skip: missing("p11tool", "openssl") ?? false },
    async () => {
      const token = "pkcs11:token=casemate";
      const env = { GNUTLS_PIN: PIN };
      const p11tool = (...args: readonly string[]) =>
        here.run("p11tool", [`--provider=${MODULE}`, "--login", ...args], { env });
      const made = await p11tool(
        "--generate-ecc",
        "--curve",
        "secp256r1",
        "--label",
        "gnutls",
        "--outfile",
        "gnutls.pub",
        token,
      );
      assert.equal(made.status, 0, made.stderr);
      const signed = await p11tool("--test-sign", `${token};object=gnutls;type=private`);
      assert.match(signed.stdout + signed.stderr, /Verifying against public key in the token\.\.\. ok/);
      await here.run("openssl", [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "other.key",
        "-out",
        "other.pem",
        "-subj",
        "/CN=other",
      ]);
      const written = await p11tool("--write", "--load-certificate", "other.pem", "--label", "other", token);
      assert.equal(written.status, 0, written.stderr);
      assert.match((await p11tool("--list-all-certs", token)).stdout, /Label: other/);
    },
  );

  test(
    "OpenSSL's engine makes a request, and a TLS server whose key is in Casemate serves curl",
    { skip: missing(ENGINE, "openssl", "curl") ?? false },
    async () => {
      await ec("csr", "10");
      await rsa("tls", "11");
      const asked = await request("-key", keyUri("csr"), "-subj", "/CN=me", "-out", "me.csr");
      assert.equal(asked.status, 0, asked.stderr);
      const verified = await here.run("openssl", ["req", "-in", "me.csr", "-noout", "-verify"]);
      assert.match(verified.stdout + verified.stderr, /verify OK/);
      await request(
        "-x509",
        "-key",
        keyUri("tls"),
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-out",
        "tls.pem",
      );
      const port = await freePort();
      const server = spawn(
        "openssl",
        [
          "s_server",
          "-accept",
          `${port}`,
          "-www",
          "-cert",
          "tls.pem",
          "-engine",
          "pkcs11",
          "-keyform",
          "engine",
          "-key",
          keyUri("tls"),
        ],
        { cwd: here.work, env: environment(here.env), stdio: "ignore" },
      );
      try {
        let page = "";
        for (let i = 0; i < 50 && page === ""; i++) {
          await sleep(100);
          page = (await here.run("curl", ["-s", "--cacert", "tls.pem", `https://localhost:${port}/`])).stdout;
        }
        assert.match(page, /TLSv1\.3/);
      } finally {
        server.kill();
      }
    },
  );

  test(
    "ssh-keygen -D shows the key, and ssh logs in with it",
    { skip: missing("ssh", "ssh-keygen", "/usr/sbin/sshd") ?? false },
    async () => {
      const made = await ec("ssh", "20");
      assert.equal(made.status, 0, made.stderr);
      const keys = await here.run("ssh-keygen", ["-D", MODULE]);
      const line = keys.stdout.split("\n").find((text) => text.endsWith(" ssh"));
      assert.ok(line, `${keys.stdout}${keys.stderr}`);
      here.write("authorized", `${line}\n`);
      await here.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "host"]);
      const port = await freePort();
      here.write(
        "sshd_config",
        `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${here.file("host")}\nAuthorizedKeysFile ${here.file("authorized")}\n` +
          `StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\n`,
      );
      mkdirSync("/run/sshd", { recursive: true });
      const daemon = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", here.file("sshd_config")], { stdio: "ignore" });
      try {
        const ask = here.write("ask", `#!/bin/sh\necho ${PIN}\n`);
        await here.run("chmod", ["700", ask]);
        let reached = "";
        for (let i = 0; i < 30 && !reached.includes("logged in"); i++) {
          await sleep(100);
          const login = await here.run(
            "ssh",
            [
              "-F",
              "none",
              "-p",
              `${port}`,
              "-I",
              MODULE,
              "-o",
              "StrictHostKeyChecking=no",
              "-o",
              `UserKnownHostsFile=${here.file("known")}`,
              `${userInfo().username}@127.0.0.1`,
              "echo logged in",
            ],
            { env: { SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: "force" } },
          );
          reached = login.stdout + login.stderr;
        }
        assert.match(reached, /logged in/);
      } finally {
        daemon.kill();
      }
    },
  );

  test(
    "Java's keytool makes a key and jarsigner signs with it",
    { skip: missing("keytool", "jarsigner", "jar") ?? false },
    async () => {
      here.write(
        "java.cfg",
        `name = Casemate\nlibrary = ${MODULE}\nslot = 0\nattributes(generate, CKO_PRIVATE_KEY, *) = {\n  CKA_TOKEN = true\n}\n`,
      );
      const store = [
        "-storetype",
        "PKCS11",
        "-keystore",
        "NONE",
        "-providerClass",
        "sun.security.pkcs11.SunPKCS11",
        "-providerArg",
        here.file("java.cfg"),
        "-storepass",
        PIN,
      ];
      const made = await here.run("keytool", [
        "-genkeypair",
        "-alias",
        "java",
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-dname",
        "CN=java",
        ...store,
      ]);
      assert.equal(made.status, 0, made.stdout);
      assert.match((await here.run("keytool", ["-list", ...store])).stdout, /java, PrivateKeyEntry/);
      here.write("content", "content");
      await here.run("jar", ["cf", "signed.jar", "content"]);
      const signed = await here.run("jarsigner", [...store, "signed.jar", "java"]);
      assert.match(signed.stdout, /jar signed/);
      assert.match((await here.run("jarsigner", ["-verify", "signed.jar"])).stdout, /jar verified/);
    },
  );

  test(
    "NSS makes a key and a certificate with certutil",
    { skip: missing("certutil", "modutil") ?? false },
    async () => {
      mkdirSync(here.file("nss"));
      const database = `sql:${here.file("nss")}`;
      here.write("pin", `${PIN}\n`);
      here.write("noise", new Uint8Array(64).fill(5));
      await here.run("certutil", ["-N", "-d", database, "--empty-password"]);
      await here.run("modutil", ["-dbdir", database, "-add", "casemate", "-libfile", MODULE, "-force"]);
      const made = await here.run("certutil", [
        "-S",
        "-d",
        database,
        "-h",
        "casemate",
        "-n",
        "nss",
        "-s",
        "CN=nss",
        "-x",
        "-t",
        "u,u,u",
        "-k",
        "rsa",
        "-g",
        "2048",
        "-f",
        "pin",
        "-z",
        "noise",
        "-m",
        "7",
      ]);
      assert.equal(made.status, 0, made.stderr);
      const listed = await here.run("certutil", ["-L", "-d", database, "-h", "casemate", "-f", "pin"]);
      assert.match(listed.stdout, /casemate:nss +u,u,u/);
    },
  );

  test("osslsigncode signs a program", { skip: missing("osslsigncode", ENGINE, "openssl") ?? false }, async () => {
    await rsa("code", "30");
    await request(
      "-x509",
      "-key",
      keyUri("code"),
      "-subj",
      "/CN=code",
      "-addext",
      "extendedKeyUsage=codeSigning",
      "-out",
      "code.pem",
    );
    here.write("program.exe", emptyProgram());
    const signed = await here.run(
      "osslsigncode",
      [
        "sign",
        "-pkcs11engine",
        ENGINE,
        "-pkcs11module",
        MODULE,
        "-certs",
        "code.pem",
        "-key",
        keyUri("code"),
        "-in",
        "program.exe",
        "-out",
        "signed.exe",
      ],
      { env: { OPENSSL_CONF: "/dev/null" } },
    );
    assert.match(signed.stdout + signed.stderr, /Succeeded/);
    const checked = await here.run("osslsigncode", ["verify", "-CAfile", "code.pem", "-in", "signed.exe"]);
    assert.match(checked.stdout, /Signature verification: ok/);
  });

  test("the environment that the program prints reaches the server through the bridge", async () => {
    const printed = await casemate(here.data, ["pkcs11", "env", "--json"]);
    const { P11_KIT_SERVER_ADDRESS = "" } = JSON.parse(printed.stdout) as Record<string, string>;
    assert.match(P11_KIT_SERVER_ADDRESS, /^\|/);
    const listed = await here.run("pkcs11-tool", ["--module", MODULE, "-L"], { env: { P11_KIT_SERVER_ADDRESS } });
    assert.match(listed.stdout, /token label +: casemate/);
    const looked = await casemate(here.data, ["pkcs11", "doctor", "--json"]);
    const found = JSON.parse(looked.stdout) as { readonly listening: boolean; readonly processorsHeld: boolean };
    assert.equal(found.listening, true);
    assert.equal(found.processorsHeld, mayOpen("/dev/cpu_dma_latency"));
  });

  test("a bridge reaches a server elsewhere by TLS with a token, and not without", async () => {
    using directory = temporary();
    const port = await freePort();
    const elsewhere = await startServer(directory.path, ["--pkcs11-listen", `127.0.0.1:${port}`]);
    try {
      const bridge = (tokenFile: string, host = "127.0.0.1"): string =>
        `|${process.execPath} ${PROGRAM} pkcs11 bridge --remote ${host}:${port} ` +
        `--ca-file ${directory.path}/tls/certificate.pem --token-file ${tokenFile}`;
      const list = (address: string) =>
        here.run("pkcs11-tool", ["--module", MODULE, "-L"], { env: { P11_KIT_SERVER_ADDRESS: address } });
      for (const host of ["127.0.0.1", "localhost"]) {
        const listed = await list(bridge(`${directory.path}/admin.token`, host));
        assert.match(listed.stdout, /token label +: hsm-1/, host);
      }
      // By the environment that the program prints, out of a directory whose name every reader of it takes for something else.
      const odd = join(here.work, `it's "a" $HOME \\ dir`);
      mkdirSync(odd);
      copyFileSync(join(directory.path, "tls/certificate.pem"), join(odd, "ca.pem"));
      copyFileSync(join(directory.path, "admin.token"), join(odd, "token"));
      const env = ["pkcs11", "env", "--remote", `127.0.0.1:${port}`, "--ca-file", "ca.pem", "--token-file", "token"];
      const printed = await casemate(here.data, env, { cwd: odd });
      const script = `${printed.stdout}\npkcs11-tool --module "$CASEMATE_PKCS11_MODULE" -L`;
      const evaluated = await here.run("sh", ["-c", 'eval "$1"', "sh", script]);
      assert.match(evaluated.stdout, /token label +: hsm-1/, evaluated.stderr);

      const told = await casemate(here.data, [...env, "--json"], { cwd: odd });
      const { P11_KIT_SERVER_ADDRESS: address = "" } = JSON.parse(told.stdout) as Record<string, string>;
      const file = await casemate(here.data, [...env, "--module-file"], { cwd: odd });
      assert.ok(file.stdout.includes(`\nremote: ${address}\n`), file.stdout);

      const both = await casemate(here.data, [...env, "--direct"], { cwd: odd });
      assert.equal(both.status, 2);

      const wrong = await list(bridge(here.write("wrong.token", "cmt_0000000000000000_wrong")));
      assert.match(wrong.stderr, /CKR_DEVICE_ERROR/);
      assert.match(wrong.stderr, /the PKCS#11 bridge reaches no server: the server refused the token/);
    } finally {
      await elsewhere.stop();
    }
  });
});
