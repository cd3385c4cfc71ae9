"""Two clusters of the tests on one machine have ports of their own."""

from __future__ import annotations

import socket

import cluster
import pytest


def test_two_clusters_never_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = range(18_000, 18_150, 50)
    monkeypatch.setattr(cluster, "PORTS", blocks)
    with socket.socket() as other:  # somebody else's, in the middle of a block
        other.bind(("127.0.0.1", 18_053))
        other.listen()
        with cluster.ports(9) as one, cluster.ports(9) as two:
            assert {one, two} == {18_001, 18_101}
            with pytest.raises(AssertionError, match="no free ports"), cluster.ports(9):
                pass
        with cluster.ports(9) as again:
            assert again in (18_001, 18_101)
