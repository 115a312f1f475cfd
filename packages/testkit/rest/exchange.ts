import { connect } from "node:net";

/** Sends bytes as they are and collects what comes back until the server closes. */
export function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.setEncoding("latin1").on("data", (part: string) => (text += part));
    socket
      .on("close", () => resolve(text))
      .on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ECONNRESET") resolve(text);
        else reject(error);
      });
  });
}
