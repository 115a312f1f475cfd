import { ERROR_CODES, type ErrorCode } from "./codes.ts";

export interface ErrorOptions {
  /** What to do about it, one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Facts a program may read: sizes, names, states. Never a secret. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** The one error class: a stable code, what happened, what to do. */
export class CasemateError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "CasemateError";
  readonly code: C;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(code: C, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryable = ERROR_CODES[code].retryable;
    this.details = options.details ?? {};
  }
}

export function isCasemateError(value: unknown): value is CasemateError {
  return value instanceof CasemateError;
}

/** Keeps a CasemateError as it is; anything else becomes INTERNAL with the cause kept. */
export function asCasemateError(value: unknown): CasemateError {
  if (isCasemateError(value)) return value;
  return new CasemateError("INTERNAL", "an unexpected error; the log has the details", { cause: value });
}

/** What happened and what to do, in one line without a last full stop: for a status, which may become part of another sentence. */
export function withHint({ message, hint }: CasemateError): string {
  if (hint === undefined) return message;
  return `${message}. ${hint.replace(/\.$/, "")}`;
}

/** A full disk, said the same way wherever it is met: what is refused, what goes on. Which file it was, is in the cause. */
export function diskFull(refused: string, cause: unknown): CasemateError<"STORAGE_FULL"> {
  return new CasemateError("STORAGE_FULL", `the disk is full: ${refused}`, {
    hint: "Free space on the disk of the data directory, then try again. Listing, showing, public halves, verification and the audit log can be read meanwhile.",
    cause,
  });
}
