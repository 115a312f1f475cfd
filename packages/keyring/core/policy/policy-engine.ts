import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import type { PolicyEngine, PolicyRequest, PolicyText } from "../ports.ts";
import type { Decision } from "../types.ts";
import { BUILT_IN_POLICIES } from "./built-in.ts";
import { CedarHost, type Cedar } from "./cedar.ts";
import { DecisionCache } from "./decision-cache.ts";
import { POLICY_LIMITS } from "./limits.ts";
import { cedarCall, describeRequest, fitsSchema } from "./request.ts";
import { policySchema } from "./schema.ts";
import { checkPolicy, requirePolicyId, type Statement } from "./validate-policy.ts";

let engines = 0;

class CedarPolicyEngine implements PolicyEngine {
  readonly #schema = policySchema();
  /** Cedar keeps prepared sets per process; each engine has names of its own. */
  readonly #set = `casemate-${++engines}`;
  readonly #host: CedarHost;
  readonly #cache = new DecisionCache(POLICY_LIMITS.cachedDecisions);
  #custom: readonly PolicyText[] = [];
  #statements: readonly Statement[] = BUILT_IN_POLICIES;

  constructor() {
    this.#host = new CedarHost((cedar) => this.#load(cedar, this.#set, this.#statements));
    // Now rather than with the first request, so that a broken installation is found at start.
    this.#host.use(() => undefined);
  }

  decide(request: PolicyRequest): Decision {
    const { caller, resource } = request;
    const revision = resource.type === "keyring" ? 0 : request.revision;
    if (revision === undefined) return this.#evaluate(this.#set, request);
    const name = resource.type === "key" ? resource.name : "";
    const key = `${request.action}\n${name}\n${caller.kind}\n${caller.principal}\n${caller.source}\n${caller.roles.join()}`;
    const known = this.#cache.get(key, revision);
    if (known !== undefined) return known;
    const decision = this.#evaluate(this.#set, request);
    this.#cache.set(key, revision, decision);
    return decision;
  }

  list(): readonly PolicyText[] {
    return [...BUILT_IN_POLICIES, ...this.#custom];
  }

  validate(id: string, text: string): void {
    this.#check(id, text);
  }

  replace(policies: readonly { readonly id: string; readonly text: string }[]): void {
    if (policies.length > POLICY_LIMITS.policies) {
      throw new CasemateError(
        "CONFIG_INVALID",
        `${policies.length} policies; at most ${POLICY_LIMITS.policies} are allowed`,
        {
          hint: "one text may hold several statements",
        },
      );
    }
    const ids = new Set(policies.map(({ id }) => id));
    if (ids.size !== policies.length) {
      throw new CasemateError("CONFIG_INVALID", "two policies have the same id", { hint: "give each its own" });
    }
    const statements = [...BUILT_IN_POLICIES, ...policies.flatMap(({ id, text }) => this.#check(id, text))];
    this.#host.use((cedar) => this.#load(cedar, this.#set, statements));
    this.#statements = statements;
    this.#custom = policies.map(({ id, text }) => ({ id, text, builtIn: false }));
    this.#cache.clear();
  }

  tryOut(text: string, requests: readonly PolicyRequest[]): readonly Decision[] {
    if (requests.length > POLICY_LIMITS.requests) {
      throw new CasemateError("TOO_LARGE", `${requests.length} requests; at most ${POLICY_LIMITS.requests} at once`, {
        hint: "try them in several calls",
      });
    }
    const added = this.#check("try-out", text);
    const set = `${this.#set}-try-out`;
    this.#host.use((cedar) => this.#load(cedar, set, [...this.#statements, ...added]));
    try {
      return requests.map((request) => this.#evaluate(set, request));
    } finally {
      this.#host.use((cedar) => this.#load(cedar, set, []));
    }
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

  #evaluate(set: string, request: PolicyRequest): Decision {
    if (!fitsSchema(request)) {
      const reasons = [`${request.action} is not asked about a ${request.resource.type}`];
      return { allowed: false, code: "policy-error", reasons };
    }
    const answer = this.#host.use((cedar) =>
      cedar.statefulIsAuthorized({ ...cedarCall(request), preparsedPolicySetId: set }),
    );
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

/** A decision point with the built-in roles and no other policies yet. */
export function createPolicyEngine(): Promise<PolicyEngine> {
  return Promise.resolve(new CedarPolicyEngine());
}
