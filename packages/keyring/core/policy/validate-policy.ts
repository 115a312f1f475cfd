import { CasemateError } from "@casemate/foundation/errors";
import { toUtf8 } from "@casemate/foundation/bytes";
import type { Cedar } from "./cedar.ts";
import { POLICY_LIMITS } from "./limits.ts";

const ID = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** A policy's statements, ready for evaluation. */
export interface Statement {
  readonly id: string;
  readonly text: string;
}

function invalid(id: string, what: string, hint: string, details: Record<string, number> = {}): CasemateError {
  return new CasemateError("CONFIG_INVALID", `policy ${id}${what}`, { hint, details: { policy: id, ...details } });
}

/** @throws CONFIG_INVALID for a name that is not a policy id, or one of a built-in policy. */
export function requirePolicyId(id: string): void {
  if (!ID.test(id)) {
    throw new CasemateError(
      "CONFIG_INVALID",
      "a policy id is 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
      {
        hint: "Choose another id.",
      },
    );
  }
  if (id.startsWith("built-in.")) {
    throw invalid(
      id,
      " is built in and cannot be changed",
      "Add a policy of your own: forbid always wins over permit.",
    );
  }
}

/** Strings and comments replaced by spaces, so that what is counted is code. */
function codeOnly(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*/gs, (match) => " ".repeat(match.length));
}

function requireBounds(id: string, text: string): void {
  const split = "Split it into several policies.";
  const bytes = toUtf8(text).length;
  if (bytes > POLICY_LIMITS.textBytes) {
    throw invalid(id, ` has ${bytes} bytes; at most ${POLICY_LIMITS.textBytes} are allowed`, split);
  }
  if (!text.isWellFormed()) throw invalid(id, " is not well-formed text", "Save it as UTF-8.");
  const code = codeOnly(text);
  let depth = 0;
  for (let index = 0; index < code.length; index++) {
    const char = code.charAt(index);
    if (char === "(" || char === "[" || char === "{") depth++;
    else if (char === ")" || char === "]" || char === "}") depth--;
    if (depth > POLICY_LIMITS.nesting) {
      const line = lineOf(code, index);
      throw invalid(id, `, line ${line}: brackets nest deeper than ${POLICY_LIMITS.nesting}`, split, { line });
    }
  }
  const operators = code.match(/&&|\|\||[-+*!.]|\bif\b/g)?.length ?? 0;
  if (operators > POLICY_LIMITS.operators) {
    throw invalid(id, ` has ${operators} operators; at most ${POLICY_LIMITS.operators} are allowed`, split);
  }
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/** Cedar counts in UTF-8 bytes. */
function lineAtByte(text: string, offset: number): number {
  return toUtf8(text)
    .subarray(0, offset)
    .reduce((line, byte) => (byte === 0x0a ? line + 1 : line), 1);
}

interface CedarProblem {
  readonly message: string;
  readonly help?: string | null;
  readonly sourceLocations?: readonly { readonly start: number; readonly label?: string | null }[];
}

const KEY_ONLY = "The action is asked about the keyring as well: write `resource is Key &&` before the attribute.";

/** Cedar writes its advice in its own way. */
function asSentence(advice: string): string {
  return `${advice.slice(0, 1).toUpperCase()}${advice.slice(1)}${/[.!?]$/.test(advice) ? "" : "."}`;
}

/** The first problem in the text, with the advice of whichever report of the same place has some. */
function explainProblem(id: string, text: string, problems: readonly CedarProblem[]): CasemateError {
  const start = (problem: CedarProblem): number => problem.sourceLocations?.[0]?.start ?? 0;
  const [first] = problems.toSorted((a, b) => start(a) - start(b));
  if (first === undefined) return invalid(id, " is not valid", "See docs/guide-policy.md for the language.");
  const same = problems.filter((problem) => start(problem) === start(first));
  const chosen = same.find((problem) => problem.help) ?? first;
  const line = lineAtByte(text, start(chosen));
  const message = chosen.message
    .replace(/^for policy `[^`]*`[,:] /, "")
    .replace("failed to parse policies from string: ", "");
  const hint =
    chosen.help ??
    (chosen.message.includes("on entity type `Keyring` not found") ? KEY_ONLY : undefined) ??
    chosen.sourceLocations?.[0]?.label ??
    "Compare with `casemate policy list`.";
  return invalid(id, `, line ${line}: ${message}`, asSentence(hint), { line });
}

/**
 * Checks a text against the schema and splits it into statements named `ID`, `ID#2`, ….
 * @throws CONFIG_INVALID naming policy, line, and what was probably meant.
 */
export function checkPolicy(cedar: Cedar, schema: string, id: string, text: string): readonly Statement[] {
  requireBounds(id, text);
  const answer = cedar.validate({ schema, policies: { staticPolicies: text }, validationSettings: { mode: "strict" } });
  if (answer.type === "failure") throw explainProblem(id, text, answer.errors);
  if (answer.validationErrors.length > 0) {
    throw explainProblem(
      id,
      text,
      answer.validationErrors.map(({ error }) => error),
    );
  }
  // A policy that can never apply is a mistake of its author, most often a wrong pair of action and resource.
  if (answer.validationWarnings.length > 0) {
    throw explainProblem(
      id,
      text,
      answer.validationWarnings.map(({ error }) => error),
    );
  }
  return splitPolicy(cedar, id, text);
}

/** Whether all the texts together are free of complaints; says nothing about each alone, so each is split as well. */
export function fitsWhole(cedar: Cedar, schema: string, policies: readonly Statement[]): boolean {
  for (const { id, text } of policies) requireBounds(id, text);
  const staticPolicies = policies.map(({ text }) => `${text}\n`).join("");
  const answer = cedar.validate({ schema, policies: { staticPolicies }, validationSettings: { mode: "strict" } });
  return answer.type === "success" && answer.validationErrors.length === 0 && answer.validationWarnings.length === 0;
}

/** The statements of one text. @throws CONFIG_INVALID when it does not parse on its own, or holds none or too many. */
export function splitPolicy(cedar: Cedar, id: string, text: string): readonly Statement[] {
  const parts = cedar.policySetTextToParts(text);
  if (parts.type === "failure") throw explainProblem(id, text, parts.errors);
  if (parts.policies.length === 0) throw invalid(id, " holds no permit or forbid", "Write one, or remove the policy.");
  if (parts.policies.length > POLICY_LIMITS.statements) {
    const found = `${parts.policies.length} statements; at most ${POLICY_LIMITS.statements} are allowed`;
    throw invalid(id, ` has ${found}`, "Split it into several policies.");
  }
  return parts.policies.map((part, index) => ({ id: index === 0 ? id : `${id}#${index + 1}`, text: part }));
}
