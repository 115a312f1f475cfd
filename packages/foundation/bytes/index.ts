export {
  concat,
  equalBytes,
  fromHex,
  toHex,
  fromUtf8,
  toUtf8,
  fromBase64,
  toBase64,
  fromBase64Url,
  toBase64Url,
} from "./bytes.ts";
