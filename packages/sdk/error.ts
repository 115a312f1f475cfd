import type { ErrorCode, Problem } from "./types.generated.ts";

/** The server refused or failed (RFC 9457), or could not be reached: then `status` is 0 and `code` UNAVAILABLE. */
export class CasemateApiError extends Error {
  override readonly name = "CasemateApiError";
  /** Stable: programs may branch on it. */
  readonly code: ErrorCode;
  /** HTTP status. */
  readonly status: number;
  /** What to do about it. */
  readonly hint: string | undefined;
  readonly retryable: boolean;
  /** Names the request in the server's logs and audit log. */
  readonly requestId: string | undefined;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(problem: Omit<Problem, "type" | "title">, cause?: unknown) {
    super(problem.detail, cause === undefined ? undefined : { cause });
    this.code = problem.code;
    this.status = problem.status;
    this.hint = problem.hint;
    this.retryable = problem.retryable;
    this.requestId = problem.requestId;
    this.details = problem.details ?? {};
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && "detail" in value && "status" in value;
}

/** The error of an answer, also when something between us and the server made it. */
export function errorOf(status: number, body: string): CasemateApiError {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  if (isProblem(parsed)) return new CasemateApiError(parsed);
  const retryable = status === 429 || status === 502 || status === 503 || status === 504;
  const detail = `status ${status} without problem details: is this a Casemate server?`;
  return new CasemateApiError({ code: retryable ? "UNAVAILABLE" : "INTERNAL", status, detail, retryable });
}

/** Browsers say the same words of a server that is away, of a certificate that they do not trust and of a server that lets no page in. */
const IN_BROWSER =
  "Check the address, that the browser trusts the server's certificate, and that the server names the origin of this page: casemate up --allow-origin ORIGIN. The browser's console says which it is.";

/** The server was not reached, or the connection broke: whether the call was done is not known. */
export function unreachable(cause: unknown): CasemateApiError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const detail = `the server could not be reached: ${reason}`;
  const hint = "location" in globalThis ? IN_BROWSER : "Check the address, and that the server runs there.";
  return new CasemateApiError({ code: "UNAVAILABLE", status: 0, detail, hint, retryable: true }, cause);
}
