"""One MLflow server for all tests that need one, and a registered model for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from mlflow_world import Registry, mlflow_server

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The server."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def registered(registry: Registry) -> str:
    """The name of a new model: versions 1 to 3, the alias champion at 2."""
    name = f"clicks & {next(NUMBERS)}"  # a name is one parameter, whatever is in it
    registry.register(name)
    return name
