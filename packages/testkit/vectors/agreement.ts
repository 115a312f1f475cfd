/** Key agreement vectors. All values hexadecimal; keys are raw. */
export const SHARED_SECRETS = [
  {
    source: "RFC 7748 §6.1",
    algorithm: "x25519",
    key: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    peer: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    secret: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  },
  {
    source: "RFC 7748 §6.2",
    algorithm: "x448",
    key:
      "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf5" +
      "74a9419744897391006382a6f127ab1d9ac2d8c0a598726b",
    peer:
      "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972" +
      "fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609",
    secret:
      "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56" +
      "fd2464c335543936521c24403085d59a449a5037514a879d",
  },
] as const;
