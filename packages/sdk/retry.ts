import type { ApiCall } from "./call.ts";
import type { CasemateApiError } from "./error.ts";

export interface RetryOptions {
  /** Tries in all, the first included. 1 turns retrying off. Default 4. */
  readonly attempts?: number;
  /** Upper bound of the first pause in ms; it doubles with each further one. Default 100. */
  readonly baseMs?: number;
  /** No pause is longer. Default 5000. */
  readonly maxMs?: number;
}

/** The server says by these that it has not begun. */
const NOT_BEGUN: ReadonlySet<string> = new Set(["UNAVAILABLE", "RATE_LIMITED", "CONFLICT"]);

export function mayRetry(call: ApiCall, error: CasemateApiError): boolean {
  if (!error.retryable) return false;
  return call.repeatable === true || (error.status !== 0 && NOT_BEGUN.has(error.code));
}

/** Full jitter: any time up to the bound, so that many clients do not come back together. */
export function pauseMs(attempt: number, options: RetryOptions, retryAfter: string | undefined): number {
  const { baseMs = 100, maxMs = 5000 } = options;
  const asked = retryAfter !== undefined && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
  const jitter = Math.random() * Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return Math.min(maxMs, Math.max(asked, 0)) + jitter;
}

/** Rejects with the signal's reason when it is aborted meanwhile. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
