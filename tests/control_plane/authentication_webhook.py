"""Who the bearer tokens belong to that the API server did not issue, as OpenShift's OAuth server knows it."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.embedded.kubernetes import User
    from tests.control_plane.certificates import KeyPair

_LARGEST_REVIEW = 64 * 1024


class AuthenticationWebhook:
    """Answers the API server's TokenReviews over HTTPS (`--authentication-token-webhook-config-file`).

    It has threads of its own, so that a test may block its event loop, as by running kubectl.
    """

    def __init__(self, certificate: KeyPair, users: Mapping[str, User]) -> None:
        self._users = dict(users)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        # The handshake is left to the thread of the connection; here it would hold up all others.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="authentication-webhook", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add_user(self, token: str, user: User) -> None:
        self._users[token] = user

    def remove_user(self, token: str) -> None:
        self._users.pop(token, None)

    def review(self, review: Mapping[str, Any]) -> dict[str, Any]:
        """Return the review with its status, as authentication.k8s.io/v1 has it."""
        user = self._users.get(review.get("spec", {}).get("token", ""))
        status = {"authenticated": True, "user": user.info()} if user else {"authenticated": False}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        review = self.review

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            # Head and body are two writes: the second would wait 40 ms for the first's acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                if not 0 < length <= _LARGEST_REVIEW:
                    self.send_error(413)
                    return
                answer = json.dumps(review(json.loads(self.rfile.read(length)))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing: pytest shows what matters."""

        return Handler
