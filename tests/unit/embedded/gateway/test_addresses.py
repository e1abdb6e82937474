from __future__ import annotations

import pytest

from app.embedded.gateway import PortTakenError
from app.embedded.gateway.addresses import ensure_free
from tests.loopback import listening


def test_any_free_port_is_free() -> None:
    ensure_free(("127.0.0.1", 0))
    ensure_free(("localhost", 0))


def test_a_port_with_a_listener_is_taken() -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        with pytest.raises(PortTakenError, match=f"127.0.0.1:{port} .*another") as caught:
            ensure_free((host, port))

    assert (caught.value.host, caught.value.port) == (host, port)


def test_an_address_of_another_machine_cannot_be_had() -> None:
    with pytest.raises(PortTakenError, match=r"192\.0\.2\.1:8443"):
        ensure_free(("192.0.2.1", 8443))
