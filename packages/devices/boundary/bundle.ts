import { readFileSync } from "node:fs";
import { createRequire, isBuiltin, stripTypeScriptTypes } from "node:module";
import { pathToFileURL } from "node:url";

/** Everything a guest needs to load, so that it never reads a file. */
export interface Bundle {
  /** URL of the entry module. */
  readonly entry: string;
  /** JavaScript source per URL, and what each of its imports means. */
  readonly modules: Readonly<
    Record<string, { readonly source: string; readonly imports: Readonly<Record<string, string>> }>
  >;
}

// Static imports and re-exports at the start of a line, which is where the formatter puts them.
const IMPORT = /^(?:import|export)\s(?:[^;"']*?\sfrom\s)?["']([^"']+)["']/gm;

/** Follows the static imports of `entry` (absolute path, .ts or .js) and strips the types of what it finds. */
export function bundle(entry: string): Bundle {
  const modules: Record<string, { source: string; imports: Record<string, string> }> = {};
  const waiting = [entry];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const url = pathToFileURL(path).href;
    if (Object.hasOwn(modules, url)) continue;
    const text = readFileSync(path, "utf8");
    const source = path.endsWith(".ts") ? stripTypeScriptTypes(text, { mode: "strip" }) : text;
    const imports: Record<string, string> = {};
    const require = createRequire(path);
    for (const [, specifier = ""] of source.matchAll(IMPORT)) {
      if (isBuiltin(specifier)) continue;
      const target = resolve(require, specifier);
      if (target === undefined) continue;
      imports[specifier] = pathToFileURL(target).href;
      waiting.push(target);
    }
    modules[url] = { source, imports };
  }
  return { entry: pathToFileURL(entry).href, modules };
}

/** Undefined for what is no module here: text that only looks like an import. A real one fails when the guest loads it. */
function resolve(require: NodeJS.Require, specifier: string): string | undefined {
  try {
    return require.resolve(specifier);
  } catch {
    return undefined;
  }
}
