import { defineConfig } from "oxlint";
import { LAYERS, type LayerRule } from "./architecture.ts";

function restrictions(rule: LayerRule) {
  const units = ["@casemate/*", "@casemate/*/**", ...rule.may.map((unit) => `!@casemate/${unit}`)];
  const node = rule.node === "any" ? [] : ["node:*", "node:**", ...rule.node.map((module) => `!${module}`)];
  const ffi = rule.files.some((glob) => glob.includes("foundation/ffi")) ? [] : ["node:ffi"];
  return [
    { group: units, message: `${rule.files[0]}: ${rule.why} (architecture.ts)` },
    ...(node.length > 0 ? [{ group: node, message: `${rule.files[0]}: ${rule.why} (architecture.ts)` }] : []),
    ...(ffi.length > 0 ? [{ group: ffi, message: "node:ffi is imported by foundation/ffi alone" }] : []),
    { group: ["../../**"], message: "reach another unit by its name, not by a path out of this one" },
  ];
}

export default defineConfig({
  plugins: ["typescript", "import", "oxc", "unicorn", "node"],
  categories: { correctness: "error" },
  rules: {
    "typescript/no-floating-promises": [
      "error",
      {
        allowForKnownSafeCalls: [{ from: "package", name: ["test", "it", "describe", "suite"], package: "node:test" }],
      },
    ],
    "typescript/no-misused-promises": "error",
    "typescript/no-explicit-any": "error",
    "typescript/consistent-type-imports": "error",
    "import/no-cycle": "error",
    "no-console": "error",
    "no-restricted-imports": [
      "error",
      { patterns: [{ group: ["node:ffi"], message: "node:ffi is imported by foundation/ffi alone" }] },
    ],
    eqeqeq: "error",
    "prefer-const": "error",
  },
  overrides: [
    ...LAYERS.map((rule) => ({
      files: [...rule.files],
      excludeFiles: ["**/*.test.ts"],
      rules: { "no-restricted-imports": ["error", { patterns: restrictions(rule) }] as ["error", object] },
    })),
    {
      files: ["tools/**", "benchmarks/**", "examples/**", "packages/testkit/**", "**/*.test.ts"],
      rules: { "no-console": "off" },
    },
    { files: ["**/*.test.ts"], rules: { "typescript/no-floating-promises": "off" } },
  ],
  ignorePatterns: ["**/*.generated.ts", "node_modules/**"],
});
