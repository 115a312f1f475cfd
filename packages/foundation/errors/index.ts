export { ERROR_CODES, type ErrorCode } from "./codes.ts";
export {
  CasemateError,
  asCasemateError,
  diskFull,
  isCasemateError,
  withHint,
  type ErrorOptions,
} from "./casemate-error.ts";
export { shortageOf } from "./shortage.ts";
