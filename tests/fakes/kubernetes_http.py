"""The ways into the fake of Kubernetes: a transport for httpx in this process, and a real server."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.fakes.kubernetes import TOKEN, Answer, FakeKubernetes, Request

URL = "https://kubernetes.example"


def transport(cluster: FakeKubernetes) -> httpx.MockTransport:
    """What httpx sends goes to the cluster, without a socket."""

    def answered(sent: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in sent.headers.items()}
        request = Request(sent.method, sent.url.raw_path.decode(), headers, sent.content)
        try:
            answer = cluster.answer(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer", request=sent) from error
        except ConnectionError as error:
            kind = httpx.ConnectError if cluster.gone else httpx.ReadError
            raise kind("the connection broke", request=sent) from error
        if answer.events is None:
            return httpx.Response(answer.status, json=answer.body, headers=answer.headers)
        return httpx.Response(answer.status, content=_lines(answer.events))

    return httpx.MockTransport(answered)


@contextmanager
def served(cluster: FakeKubernetes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server in a thread. With TLS, the name in a client's certificate is its account."""
    door = type("Door", (_Door,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), door) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def kubeconfig(server: str, *, ca: str = "", token: str = TOKEN, namespace: str = "default") -> str:
    """The text of a kubeconfig with a token, which `kubectl` sends over TLS only."""
    trusted = {"certificate-authority": ca} if ca else {}
    cluster = {"name": "fake", "cluster": {"server": server, **trusted}}
    context = {"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}
    user = {"name": "fake", "user": {"token": token}}
    return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "fake", "clusters": [cluster],
                       "contexts": [context], "users": [user]})  # fmt: skip


class _Door(BaseHTTPRequestHandler):
    cluster: FakeKubernetes
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self._send(self.cluster.answer(Request(self.command, self.path, headers, body, self._user())))
        except OSError:  # the connection breaks, or nobody answers in time
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        if answer.events is None:
            content = json.dumps(answer.body).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.close_connection = True  # the end of the events is the end of the connection
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        for line in _lines(answer.events):
            self.wfile.write(line)
            self.wfile.flush()

    def _user(self) -> str:
        certificate = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        subject = dict(part[0] for part in (certificate or {}).get("subject", ()))
        return str(subject.get("commonName", ""))

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def _lines(events: Iterator[dict[str, object]]) -> Iterator[bytes]:
    return (json.dumps(event).encode() + b"\n" for event in events)
