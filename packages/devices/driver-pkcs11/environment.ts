/** What of the server's environment a maker's library may see: what such libraries are configured by, and no secret of Casemate's. */

const NAMES: ReadonlySet<string> = new Set([
  "HOME",
  "PATH",
  "USER",
  "LOGNAME",
  "LANG",
  "TZ",
  "TMPDIR",
  "LD_LIBRARY_PATH",
  "NODE_COMPILE_CACHE",
]);

/** Beginnings of the names that makers document for their modules, and of the system's own groups. */
const PREFIXES: readonly string[] = [
  "LC_",
  "XDG_",
  "SOFTHSM2_",
  "PKCS11_",
  "P11_KIT_",
  "PKCS_", // opencryptoki
  "OPENCRYPTOKI_",
  "OPENSC_",
  "TPM2_PKCS11_",
  "TPM2TOOLS_",
  "TSS2_",
  "YUBIHSM_",
  "CHRYSTOKI_", // Luna
  "ChrystokiConfigurationPath",
  "NFAST_", // nShield
  "CKNFAST_",
  "CS_PKCS11_", // Utimaco
  "CLOUDHSM_",
  "KMS_PKCS11_",
  "NETHSM_",
  "KRYOPTIC_",
];

export function vendorEnvironment(
  from: Readonly<Record<string, string | undefined>>,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const passed = Object.entries(from).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (NAMES.has(entry[0]) || PREFIXES.some((prefix) => entry[0].startsWith(prefix))),
  );
  return { ...Object.fromEntries(passed), ...extra };
}
