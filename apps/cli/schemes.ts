import { CIPHER_SCHEMES, MAC_SCHEMES, SIGN_SCHEMES, WRAP_SCHEMES } from "@casemate/devices/contract";
import { ChoiceOption } from "./choices.ts";

const scheme = (description: string, values: readonly string[]): ChoiceOption =>
  new ChoiceOption("--scheme <name>", description, values);
const ofKey = (option: ChoiceOption): ChoiceOption => option.default(undefined, "the key's own");

/** `--scheme` of the verbs that work with keys. */
export const signSchemeOption = (): ChoiceOption => ofKey(scheme("how to sign", SIGN_SCHEMES));
export const verifySchemeOption = (): ChoiceOption => ofKey(scheme("how it was signed", SIGN_SCHEMES));
export const encryptSchemeOption = (): ChoiceOption => ofKey(scheme("how to encrypt", CIPHER_SCHEMES));
export const decryptSchemeOption = (): ChoiceOption => ofKey(scheme("how it was encrypted", CIPHER_SCHEMES));
export const macSchemeOption = (): ChoiceOption => ofKey(scheme("how to compute it", MAC_SCHEMES));
export const wrapSchemeOption = (): ChoiceOption => scheme("how it is wrapped", WRAP_SCHEMES).default("aes-kwp");
