"""A real RFC 3161 authority for tests: `openssl ts -reply` behind a small HTTP server, with a root of its own."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

SETTINGS = """
[ req ]
distinguished_name = name
prompt = no
[ name ]
CN = {name}
[ root ]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[ signer ]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[ tsa ]
default_tsa = ours
[ ours ]
serial = {home}/serial
signer_cert = {home}/signer.pem
signer_key = {home}/signer.key
certs = {home}/root.pem
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = {digests}
ess_cert_id_alg = sha256
"""

Answer = Callable[[bytes], tuple[int, bytes]]
"""What a query is answered with: a status and a body."""


@dataclass
class Authority:
    """An authority that stamps; ``answer`` may be another one while it runs. ``queries`` are those that came."""

    home: Path
    url: str = ""
    queries: list[bytes] = field(default_factory=list)
    answer: Answer | None = None

    @property
    def root(self) -> Path:
        """The certificate that everybody trusts who trusts this authority."""
        return self.home / "root.pem"

    def make(self, *, digests: str = "sha256, sha512") -> None:
        """Make keys and certificates, as openssl makes them."""
        settings = self.home / "openssl.cnf"
        settings.write_text(SETTINGS.format(home=self.home, name="a test's authority", digests=digests))
        (self.home / "serial").write_text("01\n")
        key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-noenc",
            "-config",
            "openssl.cnf",
        ]
        days = ["-days", "30"]
        for command in (
            ["req", "-x509", *key, *days, "-keyout", "root.key", "-out", "root.pem", "-extensions", "root"],
            ["req", "-new", *key, "-subj", "/CN=signer", "-keyout", "signer.key", "-out", "signer.csr"],
            [
                "x509",
                "-req",
                "-in",
                "signer.csr",
                "-CA",
                "root.pem",
                "-CAkey",
                "root.key",
                "-CAcreateserial",
                *days,
                "-extfile",
                "openssl.cnf",
                "-extensions",
                "signer",
                "-out",
                "signer.pem",
            ],
        ):
            subprocess.run(["openssl", *command], cwd=self.home, check=True, capture_output=True)

    def reply(self, query: bytes) -> bytes:
        """Answer a query, as `openssl ts -reply` does."""
        asked = self.home / "query.tsq"
        asked.write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query.tsq"]
        return subprocess.run(command, cwd=self.home, check=True, capture_output=True).stdout

    def told(self, query: bytes) -> str:
        """Return what openssl reads in a query."""
        command = ["openssl", "ts", "-query", "-in", "/dev/stdin", "-text"]
        return subprocess.run(command, input=query, check=True, capture_output=True).stdout.decode()


@contextmanager
def authority(home: Path) -> Iterator[Authority]:
    """Run an authority on this machine."""
    home.mkdir(parents=True, exist_ok=True)
    made = Authority(home=home)
    made.make()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer a query."""
            query = self.rfile.read(int(self.headers["Content-Length"]))
            made.queries.append(query)
            assert "application/timestamp-query" == self.headers["Content-Type"]
            status, body = (200, made.reply(query)) if made.answer is None else made.answer(query)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/a-secret-path"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
