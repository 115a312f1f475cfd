/** Message authentication vectors. All values hexadecimal. */

export interface MacVector {
  readonly source: string;
  readonly scheme: "hmac-sha256" | "hmac-sha384" | "hmac-sha512" | "aes-cmac";
  readonly key: string;
  readonly message: string;
  readonly mac: string;
}

const HI_THERE = "4869205468657265";
const CMAC_KEY = "2b7e151628aed2a6abf7158809cf4f3c";
const CMAC_MESSAGE =
  "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
  "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

export const MACS: readonly MacVector[] = [
  {
    source: "RFC 4231 §4.2",
    scheme: "hmac-sha256",
    key: "0b".repeat(20),
    message: HI_THERE,
    mac: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
  },
  {
    source: "RFC 4231 §4.2",
    scheme: "hmac-sha384",
    key: "0b".repeat(20),
    message: HI_THERE,
    mac: "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
  },
  {
    source: "RFC 4231 §4.2",
    scheme: "hmac-sha512",
    key: "0b".repeat(20),
    message: HI_THERE,
    mac:
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde" +
      "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
  },
  {
    source: "RFC 4231 §4.4",
    scheme: "hmac-sha256",
    key: "aa".repeat(20),
    message: "dd".repeat(50),
    mac: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
  },
  {
    source: "RFC 4493 §4, example 1",
    scheme: "aes-cmac",
    key: CMAC_KEY,
    message: "",
    mac: "bb1d6929e95937287fa37d129b756746",
  },
  {
    source: "RFC 4493 §4, example 2",
    scheme: "aes-cmac",
    key: CMAC_KEY,
    message: CMAC_MESSAGE.slice(0, 32),
    mac: "070a16b46b4d4144f79bdd9dd04a287c",
  },
  {
    source: "RFC 4493 §4, example 3",
    scheme: "aes-cmac",
    key: CMAC_KEY,
    message: CMAC_MESSAGE.slice(0, 80),
    mac: "dfa66747de9ae63030ca32611497c827",
  },
  {
    source: "RFC 4493 §4, example 4",
    scheme: "aes-cmac",
    key: CMAC_KEY,
    message: CMAC_MESSAGE,
    mac: "51f0bebf7e3b9d92fc49741779363cfe",
  },
];
