// Implements: OASIS PKCS #11 v3.0 §5.1 (function return values), as this driver's errors.
import { CasemateError, isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { CKR } from "@casemate/protocols/p11-rpc";

/** A call into the module that did not return CKR_OK. */
export class ModuleError extends Error {
  readonly rv: number;
  readonly call: string;

  /** `said` is for a value that this side concluded from another one. */
  constructor(rv: number, call: string, said = `${call} returned ${ckrName(rv)}`) {
    super(said);
    this.rv = rv;
    this.call = call;
  }
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(CKR).map(([name, rv]) => [rv, `CKR_${name}`]));

/** `CKR_DEVICE_ERROR (0x30)`; vendor values by number alone. */
export function ckrName(rv: number): string {
  const name = NAMES.get(rv);
  const number = `0x${rv.toString(16)}`;
  return name === undefined ? number : `${name} (${number})`;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint?: string;
}

const means = (code: ErrorCode, what: string, hint?: string): Meaning => ({
  code,
  what,
  ...(hint === undefined ? {} : { hint }),
});

const GONE = means("DEVICE_ABSENT", "the token is not there", "Check its connection and power.");
const SESSION = means("DEVICE_ABSENT", "the token closed the session", "Try again.");
const BAD_KEY = means("NOT_FOUND", "the token holds no such key");
const PARAMETER = means("NOT_SUPPORTED", "the token refuses these parameters");
const BAD_DATA = means("BAD_REQUEST", "the token refuses data of this form");
const WRONG = means("PIN_WRONG", "the PIN is wrong");
const TEMPLATE = means("NOT_SUPPORTED", "the token cannot hold a key with these properties");
const FAILED = means("DEVICE_FAILED", "the token failed", "Its maker's log may say why.");

/** Every return value of the standard but CKR_OK; what is missing here is a vendor's own. */
const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [CKR.HOST_MEMORY, means("DEVICE_FAILED", "the module found no memory in this machine")],
  [CKR.SLOT_ID_INVALID, GONE],
  [CKR.GENERAL_ERROR, FAILED],
  [CKR.FUNCTION_FAILED, FAILED],
  [CKR.ARGUMENTS_BAD, PARAMETER],
  [CKR.CANT_LOCK, means("CONFIG_INVALID", "the module cannot be used from several threads")],
  [CKR.ATTRIBUTE_READ_ONLY, TEMPLATE],
  [CKR.ATTRIBUTE_SENSITIVE, means("NOT_EXPORTABLE", "the token keeps this value to itself")],
  [CKR.ATTRIBUTE_TYPE_INVALID, TEMPLATE],
  [CKR.ATTRIBUTE_VALUE_INVALID, TEMPLATE],
  [CKR.ACTION_PROHIBITED, means("FORBIDDEN", "the token's policy does not allow it")],
  [CKR.DATA_INVALID, BAD_DATA],
  [CKR.DATA_LEN_RANGE, BAD_DATA],
  [CKR.DEVICE_ERROR, FAILED],
  [CKR.DEVICE_MEMORY, means("DEVICE_FULL", "the token is full", "Destroy keys that are no longer needed.")],
  [CKR.DEVICE_REMOVED, GONE],
  [CKR.ENCRYPTED_DATA_INVALID, means("DECRYPT_FAILED", "the ciphertext does not belong to this key or was changed")],
  [CKR.ENCRYPTED_DATA_LEN_RANGE, means("DECRYPT_FAILED", "the ciphertext does not belong to this key or was changed")],
  [CKR.FUNCTION_CANCELED, means("UNAVAILABLE", "somebody cancelled it at the token")],
  [CKR.FUNCTION_NOT_PARALLEL, FAILED],
  [CKR.FUNCTION_NOT_SUPPORTED, means("NOT_SUPPORTED", "the module does not have this function")],
  [CKR.KEY_HANDLE_INVALID, BAD_KEY],
  [CKR.KEY_SIZE_RANGE, means("NOT_SUPPORTED", "the token does not take keys of this size here")],
  [CKR.KEY_TYPE_INCONSISTENT, means("NOT_SUPPORTED", "the key is of another type than this needs")],
  [CKR.KEY_CHANGED, BAD_KEY],
  [CKR.KEY_INDIGESTIBLE, PARAMETER],
  [CKR.KEY_FUNCTION_NOT_PERMITTED, means("KEY_USAGE", "the key was not made for this use")],
  [CKR.KEY_NOT_WRAPPABLE, means("NOT_EXPORTABLE", "the key cannot be wrapped so")],
  [CKR.KEY_UNEXTRACTABLE, means("NOT_EXPORTABLE", "the key never leaves the token")],
  [CKR.MECHANISM_INVALID, means("NOT_SUPPORTED", "the token does not have this mechanism")],
  [CKR.MECHANISM_PARAM_INVALID, PARAMETER],
  [CKR.OBJECT_HANDLE_INVALID, BAD_KEY],
  [CKR.OPERATION_ACTIVE, FAILED],
  [CKR.OPERATION_NOT_INITIALIZED, FAILED],
  [CKR.PIN_INCORRECT, WRONG],
  [CKR.PIN_INVALID, WRONG],
  [CKR.PIN_LEN_RANGE, WRONG],
  [CKR.PIN_EXPIRED, means("PIN_LOCKED", "the PIN has expired", "Set a new one with the token's own tools.")],
  [CKR.PIN_LOCKED, means("PIN_LOCKED", "the PIN is locked", "Unlock it with the token's own tools.")],
  [CKR.SESSION_CLOSED, SESSION],
  [CKR.SESSION_COUNT, means("UNAVAILABLE", "the token has no session left", "Close other programs that use it.")],
  [CKR.SESSION_HANDLE_INVALID, SESSION],
  [CKR.SESSION_PARALLEL_NOT_SUPPORTED, FAILED],
  [CKR.SESSION_READ_ONLY, means("NOT_SUPPORTED", "the token cannot be written to")],
  [CKR.SESSION_READ_ONLY_EXISTS, FAILED],
  [CKR.SESSION_READ_WRITE_SO_EXISTS, means("DEVICE_LOCKED", "the token is in its security officer's hands")],
  [CKR.SIGNATURE_INVALID, means("BAD_REQUEST", "the signature is wrong")],
  [CKR.SIGNATURE_LEN_RANGE, means("BAD_REQUEST", "the signature has a wrong length")],
  [CKR.TEMPLATE_INCOMPLETE, TEMPLATE],
  [CKR.TEMPLATE_INCONSISTENT, TEMPLATE],
  [CKR.TOKEN_NOT_PRESENT, GONE],
  [CKR.TOKEN_NOT_RECOGNIZED, GONE],
  [CKR.TOKEN_WRITE_PROTECTED, means("NOT_SUPPORTED", "the token is write protected")],
  [CKR.UNWRAPPING_KEY_HANDLE_INVALID, BAD_KEY],
  [CKR.UNWRAPPING_KEY_SIZE_RANGE, PARAMETER],
  [
    CKR.UNWRAPPING_KEY_TYPE_INCONSISTENT,
    means("NOT_SUPPORTED", "the unwrapping key is of another type than this needs"),
  ],
  [CKR.USER_ALREADY_LOGGED_IN, means("DEVICE_FAILED", "the token says that its user is logged in already")],
  [CKR.USER_NOT_LOGGED_IN, means("DEVICE_LOCKED", "the token wants its PIN")],
  [
    CKR.USER_PIN_NOT_INITIALIZED,
    means("CONFIG_INVALID", "the token has no user PIN yet", "Initialise it with its own tools."),
  ],
  [CKR.USER_ANOTHER_ALREADY_LOGGED_IN, means("DEVICE_LOCKED", "another user is logged in at the token")],
  [CKR.USER_TOO_MANY_TYPES, means("DEVICE_LOCKED", "too many users are logged in at the token")],
  [CKR.WRAPPED_KEY_INVALID, means("DECRYPT_FAILED", "the wrapped key does not belong to this key or was changed")],
  [CKR.WRAPPED_KEY_LEN_RANGE, means("DECRYPT_FAILED", "the wrapped key does not belong to this key or was changed")],
  [CKR.WRAPPING_KEY_HANDLE_INVALID, BAD_KEY],
  [CKR.WRAPPING_KEY_SIZE_RANGE, PARAMETER],
  [CKR.WRAPPING_KEY_TYPE_INCONSISTENT, means("NOT_SUPPORTED", "the wrapping key is of another type than this needs")],
  [CKR.RANDOM_NO_RNG, means("NOT_SUPPORTED", "the token has no random number generator")],
  [CKR.DOMAIN_PARAMS_INVALID, PARAMETER],
  [CKR.CURVE_NOT_SUPPORTED, means("NOT_SUPPORTED", "the token does not have this curve")],
  [CKR.BUFFER_TOO_SMALL, FAILED],
  [CKR.CRYPTOKI_NOT_INITIALIZED, SESSION],
  [CKR.FIPS_SELF_TEST_FAILED, means("DEVICE_FAILED", "the token failed its self-tests")],
  [CKR.LIBRARY_LOAD_FAILED, means("CONFIG_INVALID", "the module could not load a library that it needs")],
  [CKR.PUBLIC_KEY_INVALID, means("BAD_REQUEST", "the public key is wrong")],
  [CKR.FUNCTION_REJECTED, means("FORBIDDEN", "somebody refused it at the token")],
]);

/** Return values after which nothing works until there is a new connection. */
const LOST: ReadonlySet<number> = new Set([
  CKR.SLOT_ID_INVALID,
  CKR.DEVICE_REMOVED,
  CKR.TOKEN_NOT_PRESENT,
  CKR.TOKEN_NOT_RECOGNIZED,
  CKR.CRYPTOKI_NOT_INITIALIZED,
  CKR.USER_NOT_LOGGED_IN,
]);

/** Return values after which another session may work. */
const SESSION_ENDED: ReadonlySet<number> = new Set([CKR.SESSION_CLOSED, CKR.SESSION_HANDLE_INVALID]);

/** Return values that say nothing: the token may be gone or the call was bad. */
const VAGUE: ReadonlySet<number> = new Set([CKR.GENERAL_ERROR, CKR.FUNCTION_FAILED, CKR.DEVICE_ERROR]);

/** Return values about a handle that was good when it was found: somebody destroyed the object, or all of them went with the token. */
export const STALE: readonly number[] = [
  CKR.KEY_HANDLE_INVALID,
  CKR.OBJECT_HANDLE_INVALID,
  CKR.WRAPPING_KEY_HANDLE_INVALID,
  CKR.UNWRAPPING_KEY_HANDLE_INVALID,
];

const rvOf = (error: unknown): number | undefined => (error instanceof ModuleError ? error.rv : undefined);

/** Return values of a module that made no key: it refused what it was given before that. */
const REFUSED: ReadonlySet<number> = new Set([
  CKR.WRAPPED_KEY_INVALID,
  CKR.WRAPPED_KEY_LEN_RANGE,
  CKR.UNWRAPPING_KEY_SIZE_RANGE,
  CKR.UNWRAPPING_KEY_TYPE_INCONSISTENT,
  CKR.ENCRYPTED_DATA_INVALID,
  CKR.ENCRYPTED_DATA_LEN_RANGE,
  CKR.KEY_FUNCTION_NOT_PERMITTED,
  CKR.KEY_TYPE_INCONSISTENT,
  CKR.MECHANISM_INVALID,
  CKR.MECHANISM_PARAM_INVALID,
  CKR.FUNCTION_NOT_SUPPORTED,
]);

const MAKING: ReadonlySet<string> = new Set(["C_GenerateKey", "C_GenerateKeyPair", "C_UnwrapKey"]);

/** Of a making that failed; the error may be this driver's already. */
export function saysNoneWasMade(error: unknown): boolean {
  const said = isCasemateError(error) ? error.cause : error;
  return said instanceof ModuleError && MAKING.has(said.call) && REFUSED.has(said.rv);
}

/** Return values that say nothing about the ciphertext at a decryption: all others must look the same there, whatever was wrong with it. */
export const NOT_OF_THE_CIPHERTEXT: readonly number[] = [
  CKR.HOST_MEMORY,
  CKR.DEVICE_MEMORY,
  CKR.OPERATION_ACTIVE,
  CKR.OPERATION_NOT_INITIALIZED,
  CKR.FUNCTION_CANCELED,
  CKR.FUNCTION_REJECTED,
  CKR.ACTION_PROHIBITED,
  CKR.SESSION_COUNT,
  CKR.PIN_EXPIRED,
  CKR.PIN_LOCKED,
  CKR.PIN_INCORRECT,
  CKR.PIN_INVALID,
  CKR.PIN_LEN_RANGE,
  CKR.USER_ALREADY_LOGGED_IN,
  CKR.USER_ANOTHER_ALREADY_LOGGED_IN,
  CKR.USER_TOO_MANY_TYPES,
  CKR.USER_PIN_NOT_INITIALIZED,
  CKR.FIPS_SELF_TEST_FAILED,
];

/** The token does not do this with the key, or not so. */
export const NOT_WITH_THIS_KEY: readonly number[] = [
  CKR.KEY_FUNCTION_NOT_PERMITTED,
  CKR.KEY_TYPE_INCONSISTENT,
  CKR.KEY_SIZE_RANGE,
  CKR.MECHANISM_INVALID,
  CKR.MECHANISM_PARAM_INVALID,
  CKR.FUNCTION_NOT_SUPPORTED,
];

export const isLost = (error: unknown): boolean => LOST.has(rvOf(error) ?? -1);
export const sessionEnded = (error: unknown): boolean => SESSION_ENDED.has(rvOf(error) ?? -1);
export const isVague = (error: unknown): boolean => VAGUE.has(rvOf(error) ?? -1);
export const isStale = (error: unknown): boolean => STALE.includes(rvOf(error) ?? -1);
export const hasRv = (error: unknown, ...values: readonly number[]): boolean => values.includes(rvOf(error) ?? -1);

/** The driver's error for a module's; any other error as it is. `as` replaces the meaning where the call tells more than the value. */
export function explained(error: unknown, as?: { readonly code: ErrorCode; readonly what: string }): unknown {
  if (!(error instanceof ModuleError)) return error;
  const known = MEANINGS.get(error.rv) ?? means("DEVICE_FAILED", "the token answered with a value of its maker's own");
  const { code, what } = as ?? known;
  return new CasemateError(code, `${what}: ${error.message}`, {
    cause: error,
    details: { ckr: error.rv, call: error.call },
    ...(known.hint === undefined || as !== undefined ? {} : { hint: known.hint }),
  });
}
