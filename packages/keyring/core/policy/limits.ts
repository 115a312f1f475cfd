/** Bounds on policies, each with its reason. */
export const POLICY_LIMITS = {
  /** Bytes of one policy text: a screenful is a few hundred; larger texts are generated and belong in several policies. */
  textBytes: 16_384,
  /** Policies besides the built-in ones; every uncached decision evaluates all of them. */
  policies: 1000,
  /** permit and forbid statements in one text. */
  statements: 16,
  /** Brackets inside brackets. Cedar's parser recurses, and its WebAssembly stack ends at 200 or fewer. */
  nesting: 32,
  /** Operators and attribute accesses in one text, for the same reason. */
  operators: 96,
  /** Requests in one try-out. */
  requests: 100,
  /** Decisions kept in each of the two generations of the cache. */
  cachedDecisions: 16_384,
} as const;
