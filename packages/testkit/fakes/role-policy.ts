import type { Decision, PolicyEngine, PolicyRequest, PolicyText } from "@casemate/keyring/core";

/** Administrators may all, users may use and read, everybody else nothing. A policy text `forbid ACTION` forbids it to all. */
export function rolePolicy(): PolicyEngine {
  let policies: readonly PolicyText[] = [];
  const decide = ({ caller, action }: PolicyRequest, texts: readonly PolicyText[]): Decision => {
    const forbidding = texts.find(({ text }) => text === `forbid ${action}`);
    if (forbidding !== undefined)
      return { allowed: false, code: "forbidden", reasons: [`policy ${forbidding.id} forbids it`] };
    const allowed =
      caller.roles.includes("admin") ||
      (caller.roles.includes("user") &&
        /^(key\.(read|list|public|sign|verify|encrypt|decrypt|mac)|random)/.test(action));
    return allowed
      ? { allowed, code: "permitted", reasons: ["its role permits it"] }
      : { allowed, code: "not-permitted", reasons: ["no role permits it"] };
  };
  return {
    decide: (request) => decide(request, policies),
    list: () => policies,
    validate: () => undefined,
    replace(next) {
      policies = next.map((policy) => ({ ...policy, builtIn: false }));
    },
    tryOut: (text, requests) =>
      requests.map((request) => decide(request, [...policies, { id: "try-out", text, builtIn: false }])),
  };
}
