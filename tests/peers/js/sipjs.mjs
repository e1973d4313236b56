// SIP.js over WebSocket. Arguments: URL OWN-URI PASSWORD TARGET; an empty password stands for none. Watches the target and
// prints what it is notified of. Lines on standard input: `open` and `closed` publish that of itself, `gone` removes the
// publication, `quit` unsubscribes and ends.
import { createInterface } from "node:readline";
import { Publisher, Subscriber, SubscriptionState, UserAgent } from "sip.js";
import WebSocket from "ws";

const [server, own, password, target] = process.argv.slice(2);
globalThis.WebSocket = WebSocket;
// It asks browsers whether they are on line.
globalThis.window ??= undefined;
const uri = UserAgent.makeURI(own);
const agent = new UserAgent({
  uri,
  authorizationUsername: uri.user,
  authorizationPassword: password || undefined,
  transportOptions: { server },
  logLevel: "error",
});
await agent.start();
console.log("connected");

const watcher = new Subscriber(agent, UserAgent.makeURI(target), "presence", {
  expires: 600,
  extraHeaders: ["Accept: application/pidf+xml"],
});
watcher.delegate = {
  onNotify: (notification) => {
    notification.accept();
    console.log(`notify ${notification.request.body.replaceAll(/\s+/g, " ")}`);
  },
};
watcher.stateChange.addListener((state) => console.log(`subscription ${state}`));
await watcher.subscribe();

const publisher = new Publisher(agent, uri, "presence", {
  contentType: "application/pidf+xml",
  expires: 600,
  unpublishOnClose: false,
});
publisher.stateChange.addListener((state) => console.log(`publication ${state}`));
const document = (basic) =>
  `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="${own}"><tuple id="web">` +
  `<status><basic>${basic}</basic></status></tuple></presence>`;

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "open" || line === "closed") await publisher.publish(document(line));
  if (line === "gone") await publisher.unpublish();
  if (line === "quit") {
    await watcher.unsubscribe();
    if (watcher.state !== SubscriptionState.Terminated) {
      await new Promise((resolve) => watcher.stateChange.addListener((state) => state === SubscriptionState.Terminated && resolve()));
    }
    await agent.stop();
    process.exit(0);
  }
}
