/** Key wrap vectors. All values hexadecimal. */

export interface KeyWrapVector {
  readonly source: string;
  readonly scheme: "aes-kw" | "aes-kwp";
  readonly kek: string;
  readonly key: string;
  readonly wrapped: string;
}

const KEK_256 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

export const KEY_WRAPS: readonly KeyWrapVector[] = [
  {
    source: "RFC 3394 §4.1",
    scheme: "aes-kw",
    kek: "000102030405060708090a0b0c0d0e0f",
    key: "00112233445566778899aabbccddeeff",
    wrapped: "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5",
  },
  {
    source: "RFC 3394 §4.3",
    scheme: "aes-kw",
    kek: KEK_256,
    key: "00112233445566778899aabbccddeeff",
    wrapped: "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7",
  },
  {
    source: "RFC 3394 §4.6",
    scheme: "aes-kw",
    kek: KEK_256,
    key: "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
    wrapped: "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
  },
  {
    source: "RFC 5649 §6, key data of 20 octets",
    scheme: "aes-kwp",
    kek: "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
    key: "c37b7e6492584340bed12207808941155068f738",
    wrapped: "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
  },
];
