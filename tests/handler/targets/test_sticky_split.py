"""The shipped snippets on a real HAProxy and a real nginx: a user who is once on the canary stays as it grows."""

from __future__ import annotations

import re
import textwrap
from importlib.resources import files
from pathlib import Path

import pytest

from handler_world import until
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.haproxy import HAProxySettings, HAProxyTarget
from mlcanary.handler.targets.nginx import NginxTarget
from mlcanary.handler.targets.registry import create
from nginx_world import Nginx
from sticky_split_world import STEPS, StickyHAProxy, climb, steady_traffic

START = State.of({"v1": 100, "v2": 0})


async def test_haproxy_keeps_users_on_a_growing_canary_and_loses_no_request(tmp_path: Path) -> None:
    haproxy = StickyHAProxy(tmp_path)
    with haproxy.running():
        servers = {"v1": "stable", "v2": "canary"}
        target = HAProxyTarget(HAProxySettings(socket=haproxy.socket, backend="models", servers=servers))

        async def settled(desired: State) -> None:
            seen = await target.observe()
            assert desired.reached_by(seen)
            begun = count()
            await until(lambda: count() > begun + 2)

        async with steady_traffic(haproxy.port) as count:
            shares = await climb(haproxy.port, target, settled)
    assert shares == [pytest.approx(percent / 100, rel=0.15, abs=0.01) for percent in STEPS]


async def test_nginx_keeps_users_on_a_growing_canary(tmp_path: Path) -> None:
    nginx = Nginx(tmp_path)
    target = NginxTarget(nginx.settings())
    with nginx.running(START):
        await nginx.in_force(target, START)
        shares = await climb(nginx.port, target, lambda desired: nginx.in_force(target, desired))
    assert shares == [pytest.approx(percent / 100, rel=0.04, abs=0.01) for percent in STEPS]


@pytest.mark.parametrize("name", ["haproxy-sticky.cfg", "nginx-split.conf"])
def test_the_section_that_a_snippet_shows_is_one_of_the_handler(name: str) -> None:
    text = files("mlcanary.handler").joinpath("snippets", name).read_text(encoding="utf-8")
    shown = re.search(r"^#   target:\n(?:#     .*\n)+", text, re.MULTILINE)
    assert shown is not None
    section = textwrap.dedent(shown[0].replace("#", " ", 1).replace("\n#", "\n "))
    document = "prometheus: {url: 'http://127.0.0.1:9090'}\ntargets:\n- name: router\n  model: clicks\n"
    (plan,) = parse_settings(document + textwrap.indent(section, "  "), name).targets
    assert create(plan.kind).weighted
