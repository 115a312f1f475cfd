// unix(7), SO_PEERCRED: who connected to a Unix socket, as the kernel knows it.
import { CasemateError } from "@casemate/foundation/errors";
import { pin, type Program } from "./library.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_SIZE = 12;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface PeerCalls {
  /** Credentials of the process at the other end of a connected Unix socket. @throws CasemateError NOT_SUPPORTED for any other descriptor. */
  peerOf(descriptor: number): PeerCredentials;
}

export function bindPeer({ ffi, library }: Program): PeerCalls {
  const { getsockopt } = library.getFunctions({
    getsockopt: { return: "int32", arguments: ["int32", "int32", "int32", "pointer", "pointer"] },
  });
  const value = pin(ffi, UCRED_SIZE);
  const length = pin(ffi, 4);
  return {
    peerOf(descriptor) {
      value.bytes.fill(0);
      length.bytes.writeUInt32LE(UCRED_SIZE);
      const result = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, value.address, length.address);
      const pid = value.bytes.readInt32LE(0);
      // Sockets without a peer process (TCP, unconnected) answer with process 0.
      if (result !== 0 || length.bytes.readUInt32LE() !== UCRED_SIZE || pid === 0) {
        throw new CasemateError("NOT_SUPPORTED", `descriptor ${descriptor} is not a connected Unix socket`);
      }
      return { pid, uid: value.bytes.readUInt32LE(4), gid: value.bytes.readUInt32LE(8) };
    },
  };
}
