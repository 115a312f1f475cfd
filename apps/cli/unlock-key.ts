/** Whether a challenge comes from the device that this account knows. A passphrase is encrypted only after this check. */
import { CasemateError } from "@casemate/foundation/errors";

export interface ReceivedChallenge {
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
  readonly signer: Uint8Array;
}

/** The two functions of the driver that know the signature's form. */
export interface ChallengeForm {
  isChallengeOf(signer: Uint8Array, challenge: Uint8Array, signature: Uint8Array): boolean;
  unlockKeyFingerprint(signer: Uint8Array): string;
}

export interface Checked {
  /** What the user must be told. */
  readonly remark?: string;
  /** Fingerprint to remember. */
  readonly fingerprint?: string;
}

/**
 * `known` is the fingerprint that is remembered, `trusted` the one that the user named.
 * @throws TAMPER_DETECTED when the challenge is not by the key that is remembered or named.
 */
export function checkChallenge(
  form: ChallengeForm,
  device: string,
  challenge: ReceivedChallenge,
  { known, trusted }: { readonly known: string | undefined; readonly trusted: string | undefined },
): Checked {
  const expected = trusted ?? known;
  if (challenge.signer.length === 0 && challenge.signature.length === 0) {
    if (expected !== undefined)
      throw new CasemateError("TAMPER_DETECTED", `${device} did not sign its challenge, but its unlock key is known`, {
        hint: "Nothing was sent. Somebody between you and the device may be asking for your passphrase.",
      });
    return {
      remark: `${device} has no key to sign its challenge with: a server that was taken over could read what you type.`,
    };
  }
  if (!form.isChallengeOf(challenge.signer, challenge.publicKey, challenge.signature))
    throw new CasemateError("TAMPER_DETECTED", `the challenge does not carry a right signature of ${device}`, {
      hint: "Nothing was sent. Somebody between you and the device may be asking for your passphrase.",
    });
  const found = form.unlockKeyFingerprint(challenge.signer);
  if (expected !== undefined && found !== expected)
    throw new CasemateError("TAMPER_DETECTED", `the unlock key of ${device} is ${found}, not ${expected}`, {
      hint:
        "Nothing was sent. Somebody may be asking for your passphrase in the device's place. If the device was zeroized or made anew, or its unlock " +
        `key file lost, say so with --trust-key ${found}`,
    });
  if (expected !== undefined) return { fingerprint: found };
  return {
    remark: `first unlock of ${device} from this account: its unlock key ${found} will be remembered when it unlocks. That it is the device's own was not checked; --trust-key would have.`,
    fingerprint: found,
  };
}
