// Implements: NIST SP 800-38A modes, its addendum's CBC-CS1, and PKCS#7 padding over whole blocks, in any cutting of the input.
import { concat } from "@casemate/foundation/bytes";
import { LIMITS } from "@casemate/protocols/session-keys";
import { nextChain, xor } from "./chaining.ts";
import type { BlockCipher, WholeCipher } from "./cipher-engine.ts";
import type { Maybe } from "./context.ts";
import { failure } from "./status.ts";

/** A running encryption or decryption. Sizes are upper bounds, exact unless padding is to be removed. */
export interface CipherStream {
  /** @throws CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE for more than the operation can take. */
  updateSize(length: number): number;
  finalSize(): number;
  /** All that comes out when this much more is all that comes. */
  restSize(length: number): number;
  /** Whether all input may end after this much more. @throws CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE. */
  mayEnd(length: number): void;
  update(data: Uint8Array): Maybe<Uint8Array>;
  final(): Maybe<Uint8Array>;
}

/** Modes that run on byte by byte, whatever the length. */
type Feedback = "ofb" | "cfb" | "cfb8" | "cfb1";
export type Mode = "ecb" | "cbc" | "cbc-pad" | "cts" | "ctr" | Feedback;

const FEEDBACK: ReadonlySet<Mode> = new Set<Mode>(["ofb", "cfb", "cfb8", "cfb1"]);

function isFeedback(mode: Mode): mode is Feedback {
  return FEEDBACK.has(mode);
}

const EMPTY = new Uint8Array(0);

function then<A, B>(value: Maybe<A>, next: (value: A) => Maybe<B>): Maybe<B> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Removes PKCS#7 padding. @throws CKR_ENCRYPTED_DATA_INVALID. */
function unpad(block: Uint8Array, blockSize: number): Uint8Array {
  const count = block[block.length - 1] ?? 0;
  const fits = count >= 1 && count <= blockSize && count <= block.length;
  if (!fits || block.subarray(block.length - count).some((byte) => byte !== count)) {
    throw failure("ENCRYPTED_DATA_INVALID");
  }
  return block.subarray(0, block.length - count);
}

function blockStream(
  cipher: BlockCipher,
  mode: Exclude<Mode, "ctr" | Feedback>,
  encrypt: boolean,
  iv: Uint8Array,
): CipherStream {
  const { blockSize } = cipher;
  const padded = mode === "cbc-pad";
  let held = EMPTY;
  let chain = iv;
  const crypt = (blocks: Uint8Array): Maybe<Uint8Array> => {
    if (blocks.length === 0) return EMPTY;
    if (mode === "ecb") return cipher.ecb(encrypt, blocks);
    if (encrypt) {
      return then(cipher.cbcEncrypt(chain, blocks), (out) => {
        chain = out.slice(out.length - blockSize);
        return out;
      });
    }
    const before = concat(chain, blocks.subarray(0, blocks.length - blockSize));
    chain = blocks.slice(blocks.length - blockSize);
    return then(cipher.ecb(false, blocks), (out) => xor(out, before));
  };
  /** Bytes that can go through now; when padding will have to come off, the last block waits. */
  const ready = (length: number): number => {
    const whole = length - (length % blockSize);
    // What may turn out to be the last whole block is stolen from.
    if (mode === "cts") return Math.max(0, whole - blockSize);
    return padded && !encrypt && whole === length && whole > 0 ? whole - blockSize : whole;
  };
  /** CBC-CS1 of the addendum to SP 800-38A: a whole block and a part of one, the cut ciphertext block first. */
  const steal = (): Maybe<Uint8Array> => {
    const part = held.length - blockSize;
    if (part < 0) throw failure(encrypt ? "DATA_LEN_RANGE" : "ENCRYPTED_DATA_LEN_RANGE");
    if (part === 0) return crypt(held);
    if (encrypt) {
      const filled = new Uint8Array(2 * blockSize);
      filled.set(held);
      return then(cipher.cbcEncrypt(chain, filled), (out) => concat(out.subarray(0, part), out.subarray(blockSize)));
    }
    const cut = held.subarray(0, part);
    return then(cipher.ecb(false, held.subarray(part)), (last) =>
      then(cipher.ecb(false, concat(cut, last.subarray(part))), (before) =>
        concat(xor(before, chain), xor(last.subarray(0, part), cut)),
      ),
    );
  };
  return {
    updateSize: (length) => ready(held.length + length),
    finalSize: () => (mode === "cts" ? held.length : padded ? (encrypt ? blockSize : held.length) : 0),
    restSize(length) {
      const all = held.length + length;
      return padded && encrypt ? all - (all % blockSize) + blockSize : all;
    },
    mayEnd(length) {
      const all = held.length + length;
      const fits =
        mode === "cts"
          ? all >= blockSize
          : padded && !encrypt
            ? all > 0 && all % blockSize === 0
            : padded || all % blockSize === 0;
      if (!fits) throw failure(encrypt ? "DATA_LEN_RANGE" : "ENCRYPTED_DATA_LEN_RANGE");
    },
    update(data) {
      const all = held.length === 0 ? data : concat(held, data);
      const now = ready(all.length);
      held = all.slice(now);
      return crypt(all.subarray(0, now));
    },
    final() {
      if (mode === "cts") return steal();
      if (!padded) {
        if (held.length > 0) throw failure(encrypt ? "DATA_LEN_RANGE" : "ENCRYPTED_DATA_LEN_RANGE");
        return EMPTY;
      }
      if (encrypt) {
        const count = blockSize - held.length;
        return crypt(concat(held, new Uint8Array(count).fill(count)));
      }
      if (held.length !== blockSize) throw failure("ENCRYPTED_DATA_LEN_RANGE");
      return then(crypt(held), (out) => unpad(out, blockSize));
    },
  };
}

function counterStream(cipher: BlockCipher, encrypt: boolean, first: Uint8Array, bits: number): CipherStream {
  const counter = first.slice();
  // CKM_AES_CTR (PKCS #11 v3.0 current mechanisms §2.13.4): the counter bits do not overflow, wherever they start.
  const low = (1n << BigInt(bits)) - 1n;
  let blocksLeft = low + 1n - (BigInt(`0x${first.toHex()}`) & low);
  let leftover = EMPTY;
  const needed = (length: number): number => Math.ceil(Math.max(0, length - leftover.length) / 16);
  const check = (count: number): void => {
    if (BigInt(count) <= blocksLeft) return;
    throw failure(encrypt ? "DATA_LEN_RANGE" : "ENCRYPTED_DATA_LEN_RANGE", "the counter would overflow");
  };
  const blocks = (count: number): Uint8Array => {
    check(count);
    blocksLeft -= BigInt(count);
    const out = new Uint8Array(count * 16);
    for (let i = 0; i < count; i++) {
      out.set(counter, i * 16);
      // What goes beyond the counter bits comes after the last block.
      let at = 15;
      while (at >= 0 && (counter[at] = (counter[at]! + 1) & 0xff) === 0) at--;
    }
    return out;
  };
  const updateSize = (length: number): number => {
    check(needed(length));
    return length;
  };
  return {
    updateSize,
    finalSize: () => 0,
    restSize: updateSize,
    mayEnd: (length) => check(needed(length)),
    update(data) {
      const count = needed(data.length);
      const stream = count === 0 ? EMPTY : cipher.ecb(true, blocks(count));
      return then(stream, (fresh) => {
        const key = concat(leftover, fresh);
        leftover = key.slice(data.length);
        return xor(data, key);
      });
    },
    final: () => EMPTY,
  };
}

function feedbackStream(cipher: BlockCipher, mode: Feedback, encrypt: boolean, iv: Uint8Array): CipherStream {
  const { run } = cipher;
  if (run === undefined) throw failure("MECHANISM_INVALID", `device keys have no mode ${mode}`);
  const unit = mode === "cfb8" || mode === "cfb1" ? 1 : cipher.blockSize;
  let chain = iv;
  /** What came since the last whole block: it goes through again with what follows. */
  let begun = EMPTY;
  return {
    updateSize: (length) => length,
    finalSize: () => 0,
    restSize: (length) => length,
    mayEnd: () => undefined,
    async update(data) {
      if (data.length === 0) return EMPTY;
      const all = begun.length === 0 ? data : concat(begun, data);
      const before = begun.length;
      const output = await run(mode, encrypt, chain, all);
      const whole = all.length - (all.length % unit);
      if (whole > 0) chain = nextChain(mode, encrypt, chain, all.subarray(0, whole), output.subarray(0, whole));
      begun = all.slice(whole);
      return output.subarray(before);
    },
    final: () => EMPTY,
  };
}

/** Gathers the parts of an input that goes through in one piece, and puts out nothing before the end. */
export function gatheringStream(whole: WholeCipher): CipherStream {
  const parts: Uint8Array[] = [];
  let gathered = 0;
  return {
    updateSize(length) {
      if (gathered + length > LIMITS.data) throw failure("DATA_LEN_RANGE");
      return 0;
    },
    finalSize: () => whole.size(gathered),
    restSize: (length) => whole.size(gathered + length),
    mayEnd: (length) => whole.check?.(gathered + length),
    update(data) {
      gathered += data.length;
      parts.push(data.slice());
      return EMPTY;
    },
    final: () => whole.run(concat(...parts)),
  };
}

/** @param bits of the counter, for CTR. */
export function cipherStream(
  cipher: BlockCipher,
  mode: Mode,
  encrypt: boolean,
  first: Uint8Array,
  bits: number,
): CipherStream {
  if (mode === "ctr") return counterStream(cipher, encrypt, first, bits);
  return isFeedback(mode) ? feedbackStream(cipher, mode, encrypt, first) : blockStream(cipher, mode, encrypt, first);
}
