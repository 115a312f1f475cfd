import assert from "node:assert/strict";
import { test } from "node:test";
import { manualClock } from "@casemate/foundation/effects";
import fc from "fast-check";
import { isCasemateError, type CasemateError } from "@casemate/foundation/errors";
import { ACTIONS, type Action } from "../actions.ts";
import type { PolicyRequest } from "../ports.ts";
import type { Decision, Role } from "../types.ts";
import { BUILT_IN_POLICIES } from "./built-in.ts";
import { POLICY_LIMITS } from "./limits.ts";
import { contextOf } from "./context.ts";
import { createPolicyEngine } from "./policy-engine.ts";
import { requestFor, testKey } from "./test-requests.ts";

const engine = await createPolicyEngine();
const allowed = (action: Action, ...roles: Role[]): boolean => engine.decide(requestFor(action, roles)).allowed;

function refusal(run: () => unknown): CasemateError {
  try {
    run();
  } catch (error) {
    if (isCasemateError(error)) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

test("without a role nothing is allowed", () => {
  for (const action of ACTIONS) {
    const { allowed: yes, code, reasons } = engine.decide(requestFor(action, []));
    assert.equal(yes, false, action);
    assert.equal(code, "not-permitted");
    assert.match(reasons[0]!, /^no policy permits .* for user user\/alice with no role$/);
  }
});

test("the built-in policies pass the checks that every other policy must pass", () => {
  for (const [index, { text }] of BUILT_IN_POLICIES.entries()) engine.validate(`copy-${index}`, text);
});

test("administrators may do everything, alone", () => {
  for (const action of ACTIONS) assert.ok(allowed(action, "admin"), action);
  for (const action of ["token.create", "policy.set", "key.destroy-now", "device.zeroize"] as const) {
    assert.ok(!allowed(action, "operator", "user", "auditor"), action);
  }
});

test("an auditor uses no key, whatever other roles and policies say", async () => {
  const generous = await createPolicyEngine();
  generous.replace([{ id: "all", text: "permit(principal, action, resource);" }]);
  for (const action of ["key.sign", "key.decrypt", "key.mac", "key.agree", "random", "key.data-keys"] as const) {
    for (const roles of [["auditor"], ["auditor", "user"], ["auditor", "admin"]] as const) {
      const decision = generous.decide(requestFor(action, roles));
      assert.deepEqual(decision, {
        allowed: false,
        code: "forbidden",
        reasons: ["policy built-in.auditor-uses-no-keys forbids it"],
      });
    }
  }
  assert.ok(allowed("audit.read", "auditor") && allowed("audit.prove", "auditor") && allowed("policy.list", "auditor"));
});

test("a custom permit widens, a custom forbid wins over every permit, and removing them restores", async () => {
  const custom = await createPolicyEngine();
  const sign = (labels: Record<string, string>, roles: Role[] = ["user"]): boolean =>
    custom.decide({ ...requestFor("key.sign", roles), resource: testKey({ labels }) }).allowed;
  assert.ok(sign({ env: "prod" }));
  custom.replace([
    {
      id: "prod-by-admins",
      text: `forbid(principal, action == Action::"key.sign", resource)
        when { resource.hasTag("env") && resource.getTag("env") == "prod" }
        unless { principal in Role::"admin" };`,
    },
    { id: "bob-audits", text: `permit(principal == User::"user/alice", action == Action::"audit.read", resource);` },
  ]);
  assert.ok(!sign({ env: "prod" }));
  assert.ok(sign({ env: "prod" }, ["user", "admin"]));
  assert.ok(sign({ env: "test" }));
  assert.ok(sign({}));
  assert.ok(custom.decide(requestFor("audit.read", [])).allowed);
  assert.deepEqual(custom.decide(requestFor("audit.read", [])).reasons, ["policy bob-audits permits it"]);
  assert.equal(custom.list().length, BUILT_IN_POLICIES.length + 2);
  custom.replace([]);
  assert.ok(sign({ env: "prod" }));
  assert.ok(!custom.decide(requestFor("audit.read", [])).allowed);
});

test("every attribute of the schema can be used", async () => {
  const custom = await createPolicyEngine();
  custom.replace([
    {
      id: "everything",
      text: `permit(principal is Service, action in [Action::"use", Action::"lifecycle"], resource is Key)
        when {
          principal.name like "service/*" && context.source == "pkcs11" && resource.name like "web-*" &&
          resource.algorithm == "ec-p256" && resource.device == "hsm-1" && resource.deviceKind == "hsm" &&
          resource.state == "active" && resource.createdBy == principal.name && resource.hasTag("team") &&
          resource in Keyring::"keyring"
        };`,
    },
  ]);
  const caller = { principal: "service/web", kind: "service", roles: [], source: "pkcs11" } as const;
  const resource = testKey({ name: "web-1", createdBy: "service/web", labels: { team: "web" } });
  assert.ok(custom.decide({ caller, action: "key.sign", resource }).allowed);
  assert.ok(!custom.decide({ caller: { ...caller, source: "rest" }, action: "key.sign", resource }).allowed);
  assert.ok(!custom.decide({ caller: { ...caller, kind: "user" }, action: "key.sign", resource }).allowed);
});

test("a remembered decision is the one that would be made: with every attribute, for every caller", async () => {
  const custom = await createPolicyEngine();
  const conditions = fc.subarray(
    [
      `resource["na\\u{6d}e"] == "a"`,
      `resource.algorithm == "a"`,
      `resource.device == "a"`,
      `resource.deviceKind == "a"`,
      `resource.state == "active"`,
      `resource.createdBy == principal.name`,
      `resource.hasTag("a") && resource.getTag("a") == "b"`,
      `resource == Key::"b"`,
      `[Key::"a"].contains(resource)`,
      `context.source == "rest"`,
    ],
    { minLength: 1, maxLength: 3 },
  );
  const letter = fc.constantFrom("a", "b");
  const resource = fc.record({
    type: fc.constant("key" as const),
    name: letter,
    algorithm: letter,
    device: letter,
    deviceKind: letter,
    state: fc.constantFrom("active" as const, "suspended" as const),
    createdBy: letter,
    labels: fc.constantFrom<Record<string, string>[]>({}, { a: "b" }, { a: "a", b: "b" }, { b: "b", a: "b" }),
  });
  const requests = fc.record({
    caller: fc.record({
      principal: letter,
      kind: fc.constant("user" as const),
      roles: fc.constantFrom<Role[]>([], ["user"]),
      source: fc.constantFrom("rest", "pkcs11"),
    }),
    action: fc.constantFrom<Action[]>("key.sign", "key.read"),
    resource,
  });
  fc.assert(
    fc.property(
      conditions,
      fc.constantFrom("permit", "forbid"),
      fc.array(requests, { minLength: 10, maxLength: 40 }),
      (when, effect, asked) => {
        const text = `${effect}(principal, action == Action::"key.sign", resource) when { ${when.join(" && ")} };`;
        custom.replace([{ id: "one", text }]);
        const fresh = custom.tryOut(`permit(principal == User::"nobody", action, resource);`, asked);
        assert.deepEqual(
          asked.map((request) => custom.decide(request)),
          fresh,
        );
      },
    ),
    { numRuns: 60 },
  );
});

test("with the built-in policies all keys are decided at once, and new policies count at once", async () => {
  const custom = await createPolicyEngine();
  const decide = (name: string, labels = {}): Decision =>
    custom.decide({ ...requestFor("key.sign", ["user"]), resource: testKey({ name, labels }) });
  const first = decide("a");
  assert.equal(decide("b", { x: "" }), first);
  custom.replace([
    { id: "no-x", text: `forbid(principal, action == Action::"key.sign", resource) when { resource.hasTag("x") };` },
  ]);
  assert.equal(decide("a").allowed, true);
  assert.equal(decide("b", { x: "" }).allowed, false);
  assert.equal(decide("c", { x: "" }), decide("b", { x: "" }));
  custom.replace([]);
  assert.equal(decide("b", { x: "" }).allowed, true);
});

test("callers that differ in anything do not share a decision", async () => {
  const custom = await createPolicyEngine();
  const text = `permit(principal is Service, action == Action::"token.list", resource) when { context.source == "rest" };`;
  custom.replace([{ id: "services", text }]);
  const part = fc.record({
    principal: fc.constantFrom("a", "b", "a\nservice", "service"),
    kind: fc.constantFrom("user", "service", "device", "enclave"),
    roles: fc.constantFrom<Role[]>([], ["user"], ["admin"], ["user", "admin"]),
    source: fc.constantFrom("rest", "pkcs11", "rest\nadmin"),
  });
  fc.assert(
    fc.property(part, (caller) => {
      const request = { caller, action: "token.list", resource: { type: "keyring" } } as const;
      const expected = caller.roles.includes("admin") || (caller.kind === "service" && caller.source === "rest");
      assert.equal(custom.decide(request).allowed, expected);
    }),
    { numRuns: 300 },
  );
});

test("policies look at the interface, at the address, and at the clock in UTC", async () => {
  // A Tuesday.
  const clock = manualClock(Date.UTC(2030, 0, 1, 9, 59, 30));
  const custom = await createPolicyEngine(clock);
  const from = (source: string, at?: number): boolean => {
    const request = requestFor("key.sign", ["user"]);
    return custom.decide({ ...request, caller: { ...request.caller, source }, ...(at === undefined ? {} : { at }) })
      .allowed;
  };
  const only = (condition: string): void =>
    custom.replace([{ id: "only", text: `forbid(principal, action, resource) unless { ${condition} };` }]);

  only('context.interface == "rest"');
  assert.deepEqual(
    ["rest/unix", "rest/tls/192.0.2.7", "rest", "pkcs11"].map((source) => from(source)),
    [true, true, true, false],
  );

  only('context has address && context.address.isInRange(ip("10.0.0.0/8"))');
  const sources = [
    "rest/tls/10.1.2.3",
    "rest/tls/::ffff:10.1.2.3",
    "rest/tls/192.0.2.7",
    "rest/unix",
    "pkcs11",
    "rest/tls/10.1.2",
  ];
  assert.deepEqual(
    sources.map((source) => from(source)),
    [true, true, false, false, false, false],
  );
  only('context has address && context.address.isInRange(ip("fe80::/10"))');
  assert.equal(from("rest/tls/fe80::1%eth0"), true);

  only("context.hour >= 9 && context.hour < 10 && context.weekday == 2");
  assert.equal(from("rest/unix"), true);
  assert.equal(from("rest/unix", Date.UTC(2030, 0, 2, 9)), false, "a Wednesday, asked beforehand");
  clock.advance(30_000);
  assert.equal(from("rest/unix"), false, "ten o'clock: what was remembered of the hour before is forgotten");
  clock.advance(-30_000);
  assert.equal(from("rest/unix"), true, "a clock that goes back");

  only('context.now < datetime("2030-01-01T10:00:00Z")');
  assert.equal(from("rest/unix"), true);
  clock.advance(30_000);
  assert.equal(from("rest/unix"), false);
});

test("the weekday counts from Monday, in every year alike", () => {
  for (let day = 0; day < 3000; day++) {
    const date = new Date(Date.UTC(1970, 0, 1 + day * 7 + (day % 7), 23, 59, 59));
    const { weekday, hour, now } = contextOf("rest", date.getTime());
    assert.equal(weekday % 7, date.getUTCDay());
    assert.deepEqual([hour, now.__extn.arg.slice(11)], [23, "23:59:00.000Z"]);
  }
});

test("tryOut decides with the text beside the present policies and keeps nothing", async () => {
  const custom = await createPolicyEngine();
  const requests = [requestFor("key.sign", []), requestFor("audit.read", [])];
  const text = `permit(principal, action == Action::"key.sign", resource);`;
  assert.deepEqual(
    custom.tryOut(text, requests).map(({ allowed: yes }) => yes),
    [true, false],
  );
  assert.deepEqual(custom.tryOut(text, requests)[0]!.reasons, ["policy try-out permits it"]);
  assert.equal(custom.decide(requests[0]!).allowed, false);
  assert.equal(custom.list().length, BUILT_IN_POLICIES.length);
  assert.equal(refusal(() => custom.tryOut("permit(", requests)).code, "CONFIG_INVALID");
  assert.equal(refusal(() => custom.tryOut(text, Array(101).fill(requests[0]!) as PolicyRequest[])).code, "TOO_LARGE");
});

test("a policy that would keep administrators from undoing it is refused", async () => {
  const custom = await createPolicyEngine();
  for (const text of [
    "forbid(principal, action, resource);",
    'forbid(principal, action in Action::"administer", resource);',
    'forbid(principal, action, resource) when { context.interface == "rest" };',
    "forbid(principal, action, resource) unless { context has address };",
    "forbid(principal, action, resource) when { context.hour < 6 };",
    "forbid(principal, action, resource) when { context.weekday > 5 };",
    "forbid(principal, action, resource) when { 9223372036854775807 + 1 == 0 };",
  ]) {
    const error = refusal(() => custom.validate("mine", text));
    assert.equal(error.code, "CONFIG_INVALID");
    assert.match(error.message, /would keep administrators from changing policies: policy mine (forbids it|failed to)/);
  }
  custom.validate("mine", `forbid(principal, action, resource) unless { principal in Role::"admin" };`);
  custom.validate("mine", `forbid(principal == User::"user/bob", action, resource);`);
});

test("an action on the wrong kind of resource is refused and says so", () => {
  const decision = engine.decide({ ...requestFor("key.sign", ["admin"]), resource: { type: "keyring" } });
  assert.deepEqual(decision, {
    allowed: false,
    code: "policy-error",
    reasons: ["key.sign is asked about a key: name one"],
  });
  assert.equal(engine.decide({ ...requestFor("token.list", ["admin"]), resource: testKey() }).code, "policy-error");
});

test("a remembered decision takes less than 3 µs", () => {
  const request = { ...requestFor("key.sign", ["user"]), revision: 1 };
  const rounds = 100_000;
  let best = Infinity;
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    for (let j = 0; j < rounds; j++) engine.decide(request);
    best = Math.min(best, ((performance.now() - start) * 1000) / rounds);
  }
  assert.ok(best < 3, `${best} µs`);
});

test("a thousand policies load in one go", async () => {
  const custom = await createPolicyEngine();
  const policies = Array.from({ length: POLICY_LIMITS.policies }, (_, i) => ({
    id: `p-${i}`,
    text: `permit(principal == User::"user/${i}", action in Action::"use", resource); // no line break after this`,
  }));
  custom.replace(policies);
  assert.ok(
    custom.decide({
      ...requestFor("key.sign", []),
      caller: { ...requestFor("key.sign", []).caller, principal: "user/999" },
    }).allowed,
  );
  assert.equal(
    refusal(() => custom.replace([...policies, { id: "more", text: policies[0]!.text }])).code,
    "CONFIG_INVALID",
  );
});

test("after an input that exhausts Cedar's stack the engine goes on", async () => {
  const custom = await createPolicyEngine();
  const { CedarHost } = await import("./cedar.ts");
  let prepared = 0;
  const host = new CedarHost(() => prepared++);
  const deep = `permit(principal, action, resource) when { ${"(".repeat(5000)}true${")".repeat(5000)} };`;
  assert.equal(
    refusal(() => host.use((cedar) => cedar.checkParsePolicySet({ staticPolicies: deep }))).code,
    "TOO_LARGE",
  );
  assert.equal(
    host.use((cedar) => cedar.checkParsePolicySet({ staticPolicies: "" }).type),
    "success",
  );
  assert.equal(prepared, 2);
  assert.ok(custom.decide(requestFor("key.sign", ["user"])).allowed);
});

test("a request that cannot be decided is refused and logged, and the others of its class are decided", async () => {
  const logged: string[] = [];
  const fresh = await createPolicyEngine(manualClock(), (message) => void logged.push(message));
  const good = requestFor("key.read", ["admin"]);
  const poison: PolicyRequest = { ...good, resource: testKey({ labels: { a: "\ud800" } }) };
  assert.equal(fresh.decide(poison).code, "policy-error");
  assert.deepEqual(logged, ["policy could not decide key.read on a key for user user/alice with the roles admin"]);
  assert.ok(fresh.decide(good).allowed);
});
