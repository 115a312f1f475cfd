export { SecretBytes, constantTimeEqual } from "./secret-bytes.ts";
