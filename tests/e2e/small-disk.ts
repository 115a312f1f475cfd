/** A file system of its own, small enough to fill. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FILLER = "filler-";

export class SmallDisk implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "casemate-small-"));
  /** Where tests put what must not fill up. */
  readonly beside = mkdtempSync(join(tmpdir(), "casemate-beside-"));
  readonly data = join(this.path, "data");
  /** Absent, or why it cannot be had. */
  readonly missing: string | undefined;

  constructor(size = "8m") {
    const run = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", this.path], { encoding: "utf8" });
    this.missing = run.status === 0 ? undefined : `a tmpfs cannot be mounted here: ${run.error?.message ?? run.stderr}`;
  }

  /** Takes what is left, to the last page but `spare` bytes. */
  fill(spare = 0): void {
    const kept = join(this.path, "kept");
    if (spare > 0) writeFileSync(kept, new Uint8Array(spare));
    for (let size = 1 << 20; size >= 1; size >>= 2) {
      for (let n = 0; n < 32; n++) {
        const file = join(this.path, `${FILLER}${readdirSync(this.path).length}`);
        try {
          writeFileSync(file, new Uint8Array(size));
        } catch {
          break;
        }
      }
    }
    rmSync(kept, { force: true });
  }

  free(): void {
    for (const name of readdirSync(this.path)) if (name.startsWith(FILLER)) rmSync(join(this.path, name));
  }

  /** An empty disk again. */
  clear(): void {
    for (const name of readdirSync(this.path)) rmSync(join(this.path, name), { recursive: true });
    mkdirSync(this.data, { mode: 0o700 });
  }

  [Symbol.dispose](): void {
    if (this.missing === undefined) spawnSync("umount", ["-l", this.path]);
    for (const path of [this.path, this.beside]) rmSync(path, { recursive: true, force: true });
  }
}
