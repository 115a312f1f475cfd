import type { PolicyRequest } from "../ports.ts";
import type { Cedar } from "./cedar.ts";
import { TIME_ATTRIBUTES, type TimeGrain } from "./context.ts";
import type { Statement } from "./validate-policy.ts";

type KeyResource = Extract<PolicyRequest["resource"], { readonly type: "key" }>;
type KeyAttribute = Exclude<keyof KeyResource, "type">;

const ATTRIBUTES: readonly KeyAttribute[] = [
  "name",
  "algorithm",
  "device",
  "deviceKind",
  "state",
  "createdBy",
  "labels",
];

/** Adds what a policy's syntax tree mentions. Whatever merely looks like a mention counts: that only costs a little memory. */
function collect(node: unknown, found: Set<string>): void {
  if (typeof node !== "object" || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    if (name === "attr") for (const attribute of [value].flat()) found.add(String(attribute));
    else if (name === "hasTag" || name === "getTag") found.add("labels");
    else if (name === "type" && value === "Key") found.add("name");
    collect(value, found);
  }
}

/** What some policy looks at. */
export interface Looks {
  /** Attributes of keys. */
  readonly key: readonly KeyAttribute[];
  readonly time: TimeGrain;
}

/** A policy that cannot be read counts as looking at all. */
export function looksOf(cedar: Cedar, statements: readonly Statement[]): Looks {
  const found = new Set<string>();
  for (const { text } of statements) {
    const answer = cedar.policyToJson(text);
    if (answer.type === "failure") return { key: ATTRIBUTES, time: "minute" };
    collect(answer.json, found);
  }
  return {
    key: ATTRIBUTES.filter((attribute) => found.has(attribute)),
    time: TIME_ATTRIBUTES.findLast(([attribute]) => found.has(attribute))?.[1] ?? "none",
  };
}

/**
 * Requests of one class are decided alike: they agree in the caller, the action and every attribute that policies look
 * at. With the built-in policies alone that is one class for all keys, however many there are.
 */
export function decisionClass({ caller, action, resource }: PolicyRequest, used: readonly KeyAttribute[]): string {
  const { principal, kind, source, roles } = caller;
  const who = `${action} ${resource.type} ${kind} ${roles.join()} ${principal.length} ${principal} ${source}`;
  if (resource.type === "keyring" || used.length === 0) return who;
  const values = used.map((attribute) =>
    attribute === "labels" ? Object.entries(resource.labels).sort(byName) : resource[attribute],
  );
  return `${who}\n${JSON.stringify(values)}`;
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}
