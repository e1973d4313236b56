"""A server under test of the endurance runs: its start, its counters, its use of the machine."""

import pathlib
import re
import signal
import subprocess
import sys
import time

LIMIT = 120.0


class Server:
    """`rollcall server` in a folder of its own, on a port that stays over its lives."""

    def __init__(self, rollcall, folder, store, settings=""):
        self.rollcall = rollcall
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        url = "memory:" if store == "memory:" else f"file:{self.folder}/store"
        self.settings = f'shards = 1\nstore = "{url}"\n{settings}'
        self.store = store
        self.port = 0
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        config = self.folder / "server.toml"
        config.write_text(f'listen = "udp:127.0.0.1:{self.port}"\n{self.settings}')
        self.log = self.folder / f"log-{self.lives}"
        self.out = self.folder / f"out-{self.lives}"
        self.process = subprocess.Popen(
            [self.rollcall, "server", "--config", config], stdout=self.out.open("w"), stderr=self.log.open("w")
        )
        listening = self.wait(lambda: re.search(r"udp:127\.0\.0\.1:(\d+)", self.out.read_text()), "its address")
        self.port = int(listening.group(1))

    def wait(self, look, what):
        end = time.monotonic() + LIMIT
        while True:
            found = look()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the server with {self.store} has not told {what}; its log:\n{self.log.read_text()}")
            time.sleep(0.05)

    def counters(self):
        """What the server shows of itself when it is asked: by actor, name and number."""
        before = self.log.stat().st_size
        self.process.send_signal(signal.SIGUSR1)

        def whole():
            text = self.log.read_bytes()[before:].decode()
            return text if text.endswith("\n") and "registry 0:" in text and "endpoint 0:" in text else None

        actors = {}
        for line in self.wait(whole, "its counters").splitlines():
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
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
