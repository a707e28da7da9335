"""A headless Chromium for tests, driven over WebDriver with the standard library alone."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
)
DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
MISSING = DRIVER is None or CHROMIUM is None


class Browser:
    """A session of chromedriver."""

    def __init__(self, port, profile):
        self.base = f"http://127.0.0.1:{port}"
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/session/{made['sessionId']}"

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self._ask("POST", "/url", {"url": url})

    def until(self, script, seconds=10.0):
        """Wait until a script returns true; return its last value."""
        end = time.monotonic() + seconds
        while not self.run(script) and time.monotonic() < end:
            time.sleep(0.02)
        return self.run(script)

    def run(self, script, *arguments):
        """Run a function body in the page and return its result."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector):
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def click(self, selector):
        self._ask("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, key):
        """Press a key in the focused element."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def size(self, width, height):
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def devtools(self, method, **parameters):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": method, "params": parameters})

    def logged(self):
        """Return the messages of the console since the last call."""
        return self._ask("POST", "/se/log", {"type": "browser"})

    def picture(self, path):
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def pdf(self, path):
        path.write_bytes(base64.b64decode(self._ask("POST", "/print", {})))

    def close(self):
        self._ask("DELETE", "")


@contextmanager
def browser(profile):
    """Start a browser with its own profile folder; end it with its driver."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([DRIVER, f"--port={port}"], **quiet) as driver:
        try:
            _wait(port)
            session = Browser(port, profile)
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()


def _wait(port):
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
