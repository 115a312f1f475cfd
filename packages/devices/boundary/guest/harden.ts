import type { ReportedStep } from "../hello.ts";

const SCOPES = ["fs", "net", "child", "worker", "wasi", "addon", "inspector", "ffi"] as const;

/**
 * Gives up everything this process will not need and reports what holds, found by trying. Call once, after the last
 * module is loaded and the last native function is bound, before serving.
 */
export function hardenGuest(): ReportedStep[] {
  const permission = process.permission as unknown as
    { has(scope: string): boolean; drop?(scope: string): void } | undefined;
  const steps: ReportedStep[] = [];
  for (const scope of SCOPES) {
    permission?.drop?.(scope);
    const holds = permission !== undefined && !permission.has(scope);
    steps.push({ step: `no-${scope}`, holds, detail: holds ? "refused by Node's permission model" : "still allowed" });
  }
  return steps;
}
