import type { PolicyText } from "../ports.ts";

/** What the four roles may do. Custom policies permit more or forbid; these cannot be changed. */
export const BUILT_IN_POLICIES: readonly PolicyText[] = [
  {
    id: "built-in.admin",
    text: `// Administrators may do everything.
permit(principal in Role::"admin", action, resource);`,
  },
  {
    id: "built-in.operator",
    text: `// Operators run keys and devices through their lifecycle. They neither use keys nor hand out access. Session keys are
// an application's own; what runs without a login is the PKCS#11 interface itself, which has this role.
permit(
  principal in Role::"operator",
  action in [
    Action::"read", Action::"lifecycle", Action::"object.read", Action::"key.verify", Action::"random",
    Action::"session-key.create", Action::"session-key.use", Action::"session-key.read"
  ],
  resource
);`,
  },
  {
    id: "built-in.pkcs11-public-keys",
    text: `// Before a login applications encrypt with public keys, as everybody can who has them; the PKCS#11 interface answers for it.
permit(principal == Service::"pkcs11", action == Action::"key.encrypt", resource) when { context.source == "pkcs11" };`,
  },
  {
    id: "built-in.user",
    text: `// Users use keys and see them.
permit(principal in Role::"user", action in [Action::"read", Action::"use"], resource);`,
  },
  {
    id: "built-in.auditor",
    text: `// Auditors see what there is, who may do what, and what was done.
permit(
  principal in Role::"auditor",
  action in [
    Action::"read", Action::"audit", Action::"token.list", Action::"policy.list", Action::"policy.explain"
  ],
  resource
);`,
  },
  {
    id: "built-in.auditor-uses-no-keys",
    text: `// Separation of duties: who checks the records does not make them. Holds whatever other roles there are.
forbid(principal in Role::"auditor", action in Action::"use", resource);`,
  },
].map((policy) => ({ ...policy, builtIn: true }));
