"""A Presence Server and its publishers, for the long forms in benches/endurance: started, killed, asked what it knows."""

import os
import pathlib
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

ROLLCALL = os.path.realpath(os.environ.get("ROLLCALL", "target/release/rollcall"))


def port():
    """A free port; it stays the server's over restarts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server in `folder`, on a port that stays over its lives. `store`: `memory:`, or its own on `folder`/disk/store."""

    def __init__(self, folder, environment=None, store=None, settings='[persistence]\ndeadline = "1s"\n[publish]\nmin = "60s"\n'):
        self.folder, self.port, self.environment = folder, port(), dict(os.environ, **(environment or {}))
        self.store = store or f"file:{folder}/disk/store"
        os.makedirs(f"{folder}/disk", exist_ok=True)
        with open(f"{folder}/server.toml", "w") as config:
            config.write(settings)
        self.process, self.log = None, []

    def start(self):
        """Starts it, without waiting."""
        self.log = []
        self.process = subprocess.Popen(
            [ROLLCALL, "server", "--config", "server.toml", "--store", self.store, "--listen", f"udp:127.0.0.1:{self.port}"],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.listening = threading.Event()
        threading.Thread(target=self.read, args=(self.process, self.log, self.listening), daemon=True).start()

    @staticmethod
    def read(process, log, listening):
        for line in process.stdout:
            log.append(line.rstrip())
            if line.startswith("listening on udp:"):
                listening.set()
        listening.set()

    def wait(self, limit=60):
        """Waits until it listens; false when it has ended instead."""
        if not self.listening.wait(limit):
            raise SystemExit("the server neither listens nor ends:\n" + "\n".join(self.log))
        return any(line.startswith("listening on udp:") for line in self.log)

    def wait_for(self, look, what, limit=180):
        """Looks until there is something."""
        end = time.monotonic() + limit
        while True:
            found = look()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server with {self.store} has not told {what}; its log:\n" + "\n".join(self.log))
            time.sleep(0.05)

    def counters(self):
        """What it shows of itself when it is asked: by actor, name and number."""
        before = len(self.log)
        self.process.send_signal(signal.SIGUSR1)

        def whole():
            lines = [line for line in self.log[before:] if re.match(r"(endpoint|registry) \d+: ", line)]
            return lines if len(lines) >= 2 else None

        actors = {}
        for line in self.wait_for(whole, "its counters"):
            actor, _, numbers = line.partition(": ")
            actors[actor] = {name: int(number) for name, number in re.findall(r"(\S+)=(\d+)(?=\s|$)", numbers)}
        return actors

    def cpu_seconds(self):
        """Time on a processor of all threads that live."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass  # It has ended meanwhile.
        return total / 1e9

    def resident_mib(self):
        """Memory that it has."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, limit=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(limit)


class Publisher:
    """One presentity: what it has been told is stored, and what it has asked for since."""

    def __init__(self, number, server):
        self.aor = f"sip:p{number}@example.com"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", server.port))
        self.own = self.socket.getsockname()[1]
        self.cseq = self.count = 0
        self.tag = self.note = self.asked = None
        self.refused = []

    def request(self, method, lines, body=""):
        self.cseq += 1
        text = (f"{method} {self.aor} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.own};branch=z9hG4bK{self.own}x{self.cseq};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <{self.aor}>;tag=t{self.own}\r\nTo: <{self.aor}>\r\nCall-ID: c{self.own}x{self.cseq}\r\n"
                f"CSeq: {self.cseq} {method}\r\nEvent: presence\r\nContact: <sip:p@127.0.0.1:{self.own}>\r\n{lines}"
                f"Content-Length: {len(body)}\r\n\r\n{body}")
        return text.encode()

    def send(self, data):
        try:
            self.socket.send(data)
        except OSError:
            pass  # Nobody listens just now.

    def ask(self):
        """Sends the next state."""
        self.count += 1
        self.asked = f"state-{self.count}-" + "x" * random.randrange(600)
        body = (f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{self.aor}"><tuple id="t"><status><basic>open</basic></status>'
                f"<note>{self.asked}</note></tuple></presence>")
        match = f"SIP-If-Match: {self.tag}\r\n" if self.tag else ""
        self.send(self.request("PUBLISH", f"Expires: 3600\r\n{match}Content-Type: application/pidf+xml\r\n", body))

    def hear(self, data):
        """Takes an answer to `ask`; its code, or None if it is none."""
        text = data.decode(errors="replace")
        if not text.startswith("SIP/2.0") or f"CSeq: {self.cseq} PUBLISH" not in text:
            return None
        code = int(text.split(" ", 2)[1])
        if code == 200:
            self.tag = next(line[10:] for line in text.split("\r\n") if line.startswith("SIP-ETag: "))
            self.note, self.asked, self.refused = self.asked, None, []
        elif code == 503:
            self.refused.append(self.asked)
            self.asked = None
        return code

    def exchange(self, data, wanted, limit=40):
        """Sends until an answer comes that `wanted` says yes to."""
        end = time.time() + limit
        while time.time() < end:
            self.send(data)
            self.socket.settimeout(1)
            try:
                while True:
                    text = self.socket.recv(65535).decode(errors="replace")
                    if text.startswith("NOTIFY"):
                        self.answer(text)
                    if wanted(text):
                        return text
            except OSError:
                continue
        return None

    def answer(self, notify):
        keep = [line for line in notify.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        self.send("\r\n".join(["SIP/2.0 200 OK", *keep, "Content-Length: 0", "", ""]).encode())

    def check(self, unknown=False):
        """Whether the server has what it acknowledged, or what was asked for and not answered; `unknown`: or what was refused.
        In words what is wrong."""
        if self.tag is None:
            self.asked = None
            return None
        state = self.exchange(self.request("SUBSCRIBE", "Expires: 0\r\nAccept: application/pidf+xml\r\n"),
                              lambda text: text.startswith("NOTIFY"))
        if state is None:
            return f"{self.aor}: no NOTIFY"
        if f"<note>{self.note}</note>" in state:
            pass
        elif any(f"<note>{note}</note>" in state for note in [self.asked] + (self.refused if unknown else []) if note):
            # It was stored, and the answer was lost: its entity-tag is not known. It begins anew beside it.
            self.tag = self.asked = None
            self.ask()
            return None if self.settled() else f"{self.aor}: can't publish after a lost answer"
        else:
            return (f"{self.aor}: {self.note[:12]} was acknowledged, {self.asked and self.asked[:12]} asked for, {[note[:12] for note in self.refused]} "
                    f"refused, and there is: {[note[:12] for note in state.split('<note>')[1:]]}")
        end = time.time() + 40
        while time.time() < end:
            mine = lambda text: text.startswith("SIP/2.0") and f"CSeq: {self.cseq} PUBLISH" in text
            answer = self.exchange(self.request("PUBLISH", f"Expires: 3600\r\nSIP-If-Match: {self.tag}\r\n"), mine)
            if answer is None or answer.startswith("SIP/2.0 503"):
                time.sleep(0.1)
                continue
            if not answer.startswith("SIP/2.0 200"):
                return f"{self.aor}: its entity-tag got {answer[8:40]!r}"
            self.asked, keep = self.note, self.note
            self.hear(answer.encode())
            self.note, self.asked = keep, None
            return None
        return f"{self.aor}: 503 does not end"

    def settled(self):
        """Waits for the answer to `ask`; false when it is not 200."""
        self.socket.settimeout(10)
        try:
            while True:
                code = self.hear(self.socket.recv(65535))
                if code is not None:
                    return code == 200
        except OSError:
            return False


def load(publishers, seconds, also=lambda: None):
    """Has all publish, one request each at a time, for so long. Codes counted."""
    codes = {}
    with selectors.DefaultSelector() as ready:
        for publisher in publishers:
            publisher.socket.setblocking(False)
            ready.register(publisher.socket, selectors.EVENT_READ, publisher)
            if not publisher.asked:
                publisher.ask()
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            also()
            for key, _ in ready.select(min(left, 0.05)):
                publisher = key.data
                try:
                    data = publisher.socket.recv(65535)
                except OSError:
                    continue
                code = publisher.hear(data)
                if code is not None:
                    codes[code] = codes.get(code, 0) + 1
                    if code == 412:
                        publisher.tag = None
                    publisher.ask()
    return codes


def answered(publishers):
    """Waits until everybody has the answer to what is on its way; in words who has none."""
    waiting = [publisher for publisher in publishers if publisher.asked]
    missing = []
    for publisher in waiting:
        publisher.settled()
        if publisher.asked:
            missing.append(f"{publisher.aor}: no answer")
    return missing


def checked(publishers, unknown=False):
    """What is wrong, in words."""
    found = [publisher.check(unknown) for publisher in publishers]
    return [words for words in found if words]


def say(text):
    print(text, flush=True)


def require():
    if not os.access(ROLLCALL, os.X_OK):
        sys.exit(f"{ROLLCALL} is not there: cargo build --release, or set ROLLCALL")
