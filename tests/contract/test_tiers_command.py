"""`maasctl tiers` as a process, with the rights of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.maasctl import environment, maasctl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workspace import Replica, Workspace

MAPPING = """
tiers:
  free: {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}
  premium: {groups: ["data-science"], rateLimit: {requestsPerMinute: 100}, displayName: Premium}
"""


class Tiers:
    """Runs the command on the workspace's cluster."""

    def __init__(self, workspace: Workspace, operator: str, home: Path) -> None:
        self._workspace = workspace
        self._operator = operator
        self._home = home

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        env = environment(
            KUBECONFIG=str(self._workspace.cluster.kubeconfig(self._operator)),
            MAAS_NAMESPACE=self._workspace.namespace,
            HOME=str(self._home),
            COLUMNS="200",
        )
        async with maasctl("tiers", *arguments, env=env, cwd=self._home) as running:
            code = await running.ended(seconds=60)
        assert "Traceback" not in running.errors
        return code, running.output, running.errors


@pytest.fixture
async def tiers(workspace: Workspace, tmp_path: Path) -> Tiers:
    await workspace.map_tiers(MAPPING)
    return Tiers(workspace, await workspace.person("operator", "system:masters"), tmp_path)


def row(table: str, first: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"│ {first}"))
    return [cell.strip() for cell in line.strip("│").split("│")]


async def test_show_tells_tiers_limits_and_how_many_people_have_them(tiers: Tiers, maas: Replica) -> None:
    await (await maas.caller("alice", "data-science")).issued()
    for _ in range(2):
        await (await maas.caller("bob")).issued()

    code, output, _ = await tiers("show")

    assert code == 0
    assert row(output, "premium") == ["premium (Premium)", "data-science", "", "100", "", "", "1"]
    assert row(output, "free")[-1] == "1"
    assert output.index("premium") < output.index("free")


async def test_show_tells_which_group_gives_a_person_their_tier(tiers: Tiers, maas: Replica) -> None:
    await (await maas.caller("alice", "data-science")).issued()

    code, output, _ = await tiers("show", "--user=alice")

    assert code == 0
    assert row(output, "data-science") == ["data-science", "newest token", "premium"]
    assert "alice gets premium" in output
    code, output, _ = await tiers("show", "--user=carol")
    assert "carol gets free" in output
    code, output, _ = await tiers("show", "--group=data-science", "--group=others")
    assert row(output, "others") == ["others", "--group", ""]
    assert "Whoever is in these groups gets premium" in output


async def test_show_tells_who_has_no_tier(tiers: Tiers, workspace: Workspace) -> None:
    await workspace.map_tiers("tiers: {paid: {groups: [payers], rateLimit: {requestsPerMinute: 1}}}")

    code, _, errors = await tiers("show", "--user=carol")

    assert code == 1
    assert "carol has no tier, and gets no token" in errors


async def test_show_tells_what_is_wrong_in_the_cluster(tiers: Tiers, workspace: Workspace) -> None:
    await workspace.map_tiers("tiers: {free: {}}")

    code, _, errors = await tiers("show")

    assert code == 1
    assert "the last good one is in force:\nmapping.yaml: line 1, column 9: tiers.free" in errors


async def test_check_tells_who_would_get_another_tier(tiers: Tiers, maas: Replica, tmp_path: Path) -> None:
    await (await maas.caller("alice", "data-science")).issued()
    await (await maas.caller("bob", "engineers")).issued()
    await (await maas.caller("carol")).issued()
    (tmp_path / "new.yaml").write_text(
        "tiers:\n"
        "  basic: {groups: [data-science], rateLimit: {requestsPerMinute: 10}}\n"
        "  free: {groups: [engineers], rateLimit: {requestsPerMinute: 1}}\n"
    )

    code, output, _ = await tiers("check", "new.yaml", "--against-cluster")

    assert code == 0
    assert row(output, "alice") == ["alice", "premium", "basic", "1"]
    assert row(output, "carol") == ["carol", "free", "none", "1"]
    assert "bob" not in output
    assert "2 of the 3 people with tokens would get another tier, 1 of them none" in output
    assert "warning: no tier has the group system:authenticated" in output

    (tmp_path / "same.yaml").write_text(MAPPING)
    code, output, _ = await tiers("check", "same.yaml", "--against-cluster")
    assert (code, "Nobody of the 3 people with tokens would get another tier." in output) == (0, True)
