/** Keeps a virtual HSM's sealed state: two generations, each written whole or not at all. The bytes mean nothing to the host. */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { SaveOutcome } from "@casemate/protocols/hsm";

export interface StateDirectory {
  /** Newest first; empty on the first start. */
  generations(): Promise<Uint8Array[]>;
  /** Durable when it resolves `kept`: file and directory are synced. Never rejects. */
  save(sealed: Uint8Array): Promise<SaveOutcome>;
}

const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && "code" in error && codes.includes(String(error.code));

async function readIfThere(path: string): Promise<Uint8Array[]> {
  try {
    return [await readFile(path)];
  } catch (error) {
    if (isCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function openStateDirectory(directory: string): Promise<StateDirectory> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const newest = join(directory, "device.state");
  const previous = join(directory, "device.state.1");
  const fresh = join(directory, "device.state.new");

  const write = async (sealed: Uint8Array): Promise<void> => {
    const handle = await open(fresh, "w", 0o600);
    try {
      await handle.writeFile(sealed);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(newest, previous).catch((error: unknown) => {
      if (!isCode(error, "ENOENT")) throw error;
    });
    await rename(fresh, newest);
    await sync(directory);
  };

  return {
    async generations() {
      // Between the two renames only `previous` exists; it is then the newest that was acknowledged.
      return [...(await readIfThere(newest)), ...(await readIfThere(previous))];
    },
    async save(sealed) {
      try {
        await write(sealed);
        return "kept";
      } catch (error) {
        return isCode(error, "ENOSPC", "EDQUOT") ? "full" : "failed";
      }
    },
  };
}
