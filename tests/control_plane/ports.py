from __future__ import annotations

import socket


class ReservedPort:
    """A free TCP port of 127.0.0.1 that stays ours while nobody listens on it.

    It is bound but does not listen, so the kernel gives it to no one else, and refuses connections. A server
    listens on the same port by binding it with SO_REUSEPORT too, as often as it likes: there is no race for
    the port at the start, nor between a stop and a restart.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()
