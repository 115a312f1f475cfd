import { connect } from "node:net";

/** Sends bytes as they are, `end` with the end of the sending side, and collects what comes back until the server closes. */
export function exchange(port: number, bytes: string | Uint8Array, how: "keep" | "end" = "keep"): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => (how === "end" ? socket.end(bytes) : socket.write(bytes)));
    socket.setEncoding("latin1").on("data", (part: string) => (text += part));
    socket
      .on("close", () => resolve(text))
      .on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ECONNRESET") resolve(text);
        else reject(error);
      });
  });
}
