/**
 * Public keys that FIPS 203 and FIPS 204 derive from a seed: test case 1 of NIST's ACVP key generation vectors
 * (usnistgov/ACVP-Server, gen-val/json-files). Hexadecimal; of each public key the beginning.
 */
export const SEEDED_PUBLIC_KEYS = [
  {
    source: "ML-KEM-keyGen-FIPS203, tcId 1",
    algorithm: "ml-kem-512",
    /** d, then z. */
    seed:
      "2cb843a02ef02ee109305f39119fabf49ab90a57ffecb3a0e75e179450f52761" +
      "84cc9121ae56fbf39e67adbd83ad2d3e3bb80843645206bdd9f2f629e3cc49b7",
    bytes: 800,
    beginning:
      "a32439f85a3c21d21a71b9b92a9b64ea0ab84312c77023694fd64eaab907a435" +
      "39ddb27ba0a853cc9069eac8508c653e600b2ac018381b4bb4a879acdad342f9",
  },
  {
    source: "ML-DSA-keyGen-FIPS204, tcId 1",
    algorithm: "ml-dsa-44",
    seed: "4be7a01a99a5e5bcfe3c06785d8e4ec664082227d86704e9e44862623a05c8b3",
    bytes: 1312,
    beginning:
      "adb0b33464816091f2a95977c67f085fdc24b37854d4db0a577ae9401e408148" +
      "d8917d21aa496bb13c60b295cb0a942322a039979828f46a00a4e7deeba2bc06",
  },
] as const;
