import { timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";

/** Compares without leaving early; lengths are not secret. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/**
 * Secret bytes that redact themselves and are wiped by `using` or `dispose()`.
 * JavaScript cannot promise that no copy is left elsewhere; this keeps our own copies few and short.
 */
export class SecretBytes implements Disposable {
  #bytes: Uint8Array | undefined;

  /** Takes ownership: the caller must not keep or use `bytes` afterwards. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A SecretBytes over a copy; wipes the source. */
  static take(source: Uint8Array): SecretBytes {
    const own = Uint8Array.from(source);
    source.fill(0);
    return new SecretBytes(own);
  }

  get length(): number {
    return this.#reveal().length;
  }

  /** The bytes themselves, valid until disposal. Named so that every use stands out in review. */
  reveal(): Uint8Array {
    return this.#reveal();
  }

  equals(other: SecretBytes | Uint8Array): boolean {
    return constantTimeEqual(this.#reveal(), other instanceof SecretBytes ? other.#reveal() : other);
  }

  dispose(): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return "[secret]";
  }

  toString(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "SecretBytes [secret]";
  }

  #reveal(): Uint8Array {
    if (this.#bytes === undefined) throw new TypeError("this secret was disposed");
    return this.#bytes;
  }
}
