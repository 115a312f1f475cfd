/** Where distributions put PKCS#11 modules: few are in the directories that the system's own search knows. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const ROOTS = ["/usr/local/lib", "/usr/lib64", "/usr/lib"];
/** Of a multiarch directory, such as x86_64-linux-gnu. */
const MULTIARCH = /-linux-/;
const SUBDIRECTORIES = ["", "pkcs11", "softhsm", "opencryptoki", "ykcs11"];

function directories(roots: readonly string[]): string[] {
  return roots.flatMap((root) => {
    if (!existsSync(root)) return [];
    const own = readdirSync(root).filter((name) => MULTIARCH.test(name));
    return [root, ...own.map((name) => join(root, name))].flatMap((place) =>
      SUBDIRECTORIES.map((name) => join(place, name)),
    );
  });
}

/** The file of a module that is given by its bare name, as in `libsofthsm2.so`; the name itself where none is found, for the system to seek. */
export function findModule(name: string, roots: readonly string[] = ROOTS): string {
  if (name.includes("/")) return name;
  return (
    directories(roots)
      .map((directory) => join(directory, name))
      .find((path) => existsSync(path)) ?? name
  );
}
