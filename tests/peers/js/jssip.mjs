// JsSIP as a watcher over WebSocket: prints what it is notified of. Arguments: URL OWN-URI PASSWORD TARGET; an empty
// password stands for none. A line `quit` on standard input unsubscribes.
import { createInterface } from "node:readline";
import JsSIP from "jssip";
import WebSocket from "ws";

const [url, uri, password, target] = process.argv.slice(2);
globalThis.WebSocket = WebSocket;
const agent = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri,
  password: password || undefined,
  register: false,
});
let over = false;
agent.on("disconnected", () => over && process.exit(0));
agent.on("connected", () => {
  const watcher = agent.subscribe(target, "presence", "application/pidf+xml", { expires: 600 });
  watcher.on("active", () => console.log("active"));
  watcher.on("notify", (_final, _request, body) => console.log(`notify ${(body ?? "").replaceAll(/\s+/g, " ")}`));
  watcher.on("terminated", (code, reason) => {
    console.log(`terminated ${code} ${reason ?? ""}`);
    over = true;
    agent.stop();
  });
  createInterface({ input: process.stdin }).on("line", (line) => line === "quit" && watcher.terminate());
  watcher.subscribe();
});
agent.start();
