export { createPolicyEngine } from "./policy/policy-engine.ts";
