import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { systemClock, type Clock } from "@casemate/foundation/effects";
import type { AuthorizationAnswer } from "@cedar-policy/cedar-wasm/nodejs";
import type { PolicyEngine, PolicyRequest, PolicyText } from "../ports.ts";
import type { Decision } from "../types.ts";
import { BUILT_IN_POLICIES } from "./built-in.ts";
import { CedarHost, type Cedar } from "./cedar.ts";
import { decisionClass, looksOf, type Looks } from "./decision-class.ts";
import { timeSlot } from "./context.ts";
import { DecisionCache } from "./decision-cache.ts";
import { POLICY_LIMITS } from "./limits.ts";
import { cedarCall, describeRequest, fitsSchema } from "./request.ts";
import { policySchema } from "./schema.ts";
import { checkPolicy, fitsWhole, requirePolicyId, splitPolicy, type Statement } from "./validate-policy.ts";

/** Names under which the instance keeps prepared policies. */
const CURRENT = "current";
const TRY_OUT = "try-out";

const HOUR_MS = 3_600_000;
const WEEK_HOURS = 168;

/** What some administrator must always be able to do, or no mistake could be undone. */
const SET_POLICIES: PolicyRequest = {
  caller: { principal: "administrator", kind: "user", roles: ["admin"], source: "rest/unix" },
  action: "policy.set",
  resource: { type: "keyring" },
};

/** For what is wrong in here, not in a policy. Gets no secrets. */
type Log = (message: string, error: unknown) => void;

class CedarPolicyEngine implements PolicyEngine {
  readonly #schema = policySchema();
  readonly #host: CedarHost;
  readonly #cache = new DecisionCache(POLICY_LIMITS.cachedDecisions);
  #custom: readonly PolicyText[] = [];
  #statements: readonly Statement[] = BUILT_IN_POLICIES;
  readonly #clock: Pick<Clock, "now">;
  /** What the statements look at. */
  #looks: Looks;
  /** The span of time that the remembered decisions are of. */
  #slot = 0;
  readonly #log: Log;

  constructor(clock: Pick<Clock, "now">, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#host = new CedarHost((cedar) => this.#load(cedar, CURRENT, this.#statements));
    // Now rather than with the first request, so that a broken installation is found at start.
    this.#looks = this.#host.use((cedar) => looksOf(cedar, this.#statements));
  }

  decide(request: PolicyRequest): Decision {
    if (request.at !== undefined) return this.#evaluate(CURRENT, request);
    if (this.#looks.time !== "none") this.#forgetThePast();
    const key = decisionClass(request, this.#looks.key);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const decision = this.#evaluate(CURRENT, request);
    // A failure is of one request, not of its class: another of the class may well be decided.
    if (decision.code !== "policy-error") this.#cache.set(key, decision);
    return decision;
  }

  /** Only while some policy looks at the clock: a decision holds for the minute, hour or day that it was made in. */
  #forgetThePast(): void {
    const slot = timeSlot(this.#clock.now(), this.#looks.time);
    if (slot === this.#slot) return;
    this.#slot = slot;
    this.#cache.clear();
  }

  list(): readonly PolicyText[] {
    return [...BUILT_IN_POLICIES, ...this.#custom];
  }

  validate(id: string, text: string): void {
    const added = this.#check(id, text);
    const others = this.#statements.filter((statement) => statement.id !== id && !statement.id.startsWith(`${id}#`));
    const { time } = this.#host.use((cedar) => looksOf(cedar, [...others, ...added]));
    const decision = this.#tried([...others, ...added], () => this.#worst(time === "none" ? 1 : WEEK_HOURS));
    if (decision === undefined) return;
    const reason = decision.reasons.join("; ");
    throw new CasemateError(
      "CONFIG_INVALID",
      `policy ${id} would keep administrators from changing policies: ${reason}`,
      {
        hint: 'Leave `action == Action::"policy.set"` to them, with `unless { principal in Role::"admin" }`.',
        details: { policy: id },
      },
    );
  }

  replace(policies: readonly { readonly id: string; readonly text: string }[]): void {
    if (policies.length > POLICY_LIMITS.policies) {
      throw new CasemateError(
        "CONFIG_INVALID",
        `${policies.length} policies; at most ${POLICY_LIMITS.policies} are allowed`,
        {
          hint: "One text may hold several statements.",
        },
      );
    }
    const ids = new Set(policies.map(({ id }) => id));
    if (ids.size !== policies.length) {
      throw new CasemateError("CONFIG_INVALID", "two policies have the same id", { hint: "Give each its own." });
    }
    const statements = [...BUILT_IN_POLICIES, ...this.#checkAll(policies)];
    this.#looks = this.#host.use((cedar) => {
      const looks = looksOf(cedar, statements);
      this.#load(cedar, CURRENT, statements);
      return looks;
    });
    this.#statements = statements;
    this.#custom = policies.map(({ id, text }) => ({ id, text, builtIn: false }));
    this.#cache.clear();
  }

  tryOut(text: string, requests: readonly PolicyRequest[]): readonly Decision[] {
    if (requests.length > POLICY_LIMITS.requests) {
      throw new CasemateError("TOO_LARGE", `${requests.length} requests; at most ${POLICY_LIMITS.requests} at once`, {
        hint: "Try them in several calls.",
      });
    }
    const added = this.#check("try-out", text);
    return this.#tried([...this.#statements, ...added], () =>
      requests.map((request) => this.#evaluate(TRY_OUT, request)),
    );
  }

  /** The first refusal of an administrator's change of policies within so many hours from now. */
  #worst(hours: number): Decision | undefined {
    const now = this.#clock.now();
    for (let hour = 0; hour < hours; hour++) {
      const decision = this.#evaluate(TRY_OUT, { ...SET_POLICIES, at: now + hour * HOUR_MS });
      if (!decision.allowed) return decision;
    }
    return undefined;
  }

  /** Runs `work` while `TRY_OUT` holds these statements. */
  #tried<T>(statements: readonly Statement[], work: () => T): T {
    this.#host.use((cedar) => this.#load(cedar, TRY_OUT, statements));
    try {
      return work();
    } finally {
      this.#host.use((cedar) => this.#load(cedar, TRY_OUT, []));
    }
  }

  /** All at once where all is well, as at every start; one by one only to name what is wrong. */
  #checkAll(policies: readonly { readonly id: string; readonly text: string }[]): readonly Statement[] {
    const whole = policies.length > 1 && this.#host.use((cedar) => fitsWhole(cedar, this.#schema, policies));
    return policies.flatMap(({ id, text }) => {
      if (!whole) return this.#check(id, text);
      requirePolicyId(id);
      return this.#host.use((cedar) => splitPolicy(cedar, id, text));
    });
  }

  #check(id: string, text: string): readonly Statement[] {
    requirePolicyId(id);
    try {
      return this.#host.use((cedar) => checkPolicy(cedar, this.#schema, id, text));
    } catch (error) {
      const known = asCasemateError(error);
      if (known.code !== "TOO_LARGE") throw known;
      throw new CasemateError("CONFIG_INVALID", `policy ${id}: ${known.message}`, {
        cause: known,
        ...(known.hint === undefined ? {} : { hint: known.hint }),
      });
    }
  }

  #load(cedar: Cedar, set: string, statements: readonly Statement[]): void {
    const staticPolicies = Object.fromEntries(statements.map(({ id, text }) => [id, text]));
    const answer = cedar.preparsePolicySet(set, { staticPolicies });
    if (answer.type === "failure") throw new CasemateError("INTERNAL", "checked policies do not load");
  }

  /** A trap in Cedar is a failure to decide, so a refusal. The next request finds a fresh instance. */
  #ask(set: string, request: PolicyRequest): AuthorizationAnswer {
    try {
      const call = { ...cedarCall(request, request.at ?? this.#clock.now()), preparsedPolicySetId: set };
      return this.#host.use((cedar) => cedar.statefulIsAuthorized(call));
    } catch (error) {
      const { code, message } = asCasemateError(error);
      if (code === "INTERNAL") this.#log(`policy could not decide ${describeRequest(request)}`, error);
      const problem = { message, help: null, code: null, url: null, severity: null };
      return { type: "failure", errors: [problem], warnings: [] };
    }
  }

  #evaluate(set: string, request: PolicyRequest): Decision {
    if (!fitsSchema(request)) {
      const other = request.resource.type === "key" ? "the keyring, not a key" : "a key: name one";
      const reasons = [`${request.action} is asked about ${other}`];
      return { allowed: false, code: "policy-error", reasons };
    }
    const answer = this.#ask(set, request);
    if (answer.type === "failure") {
      return { allowed: false, code: "policy-error", reasons: answer.errors.map(({ message }) => message) };
    }
    const { decision, diagnostics } = answer.response;
    // An error inside a forbid would skip it: without a clean evaluation nothing is allowed.
    if (diagnostics.errors.length > 0) {
      const reasons = diagnostics.errors.map(({ policyId }) => `policy ${policyId} failed to evaluate`);
      return { allowed: false, code: "policy-error", reasons };
    }
    const deciding = diagnostics.reason.toSorted();
    if (decision === "allow") {
      return { allowed: true, code: "permitted", reasons: deciding.map((id) => `policy ${id} permits it`) };
    }
    if (deciding.length > 0) {
      return { allowed: false, code: "forbidden", reasons: deciding.map((id) => `policy ${id} forbids it`) };
    }
    return { allowed: false, code: "not-permitted", reasons: [`no policy permits ${describeRequest(request)}`] };
  }
}

/** A decision point with the built-in roles and no other policies yet; `log` hears why it failed to decide. */
export async function createPolicyEngine(
  clock: Pick<Clock, "now"> = systemClock,
  log: Log = () => undefined,
): Promise<PolicyEngine> {
  return new CedarPolicyEngine(clock, log);
}
