import logging
import subprocess
import sys

import pytest

from perfkit.errors import UnknownPlugin
from perfkit.registry import APIS, DATASETS, Registry, api_class, dataset_class


@pytest.mark.parametrize("name", APIS.names())
def test_every_api_in_the_table_can_be_imported(name: str) -> None:
    assert hasattr(api_class(name), "build_request")


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_dataset_in_the_table_can_be_imported(name: str) -> None:
    assert hasattr(dataset_class(name), "build_messages")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownPlugin, match="no api is called 'opnai-chat'; did you mean 'openai_chat'"):
        api_class("opnai-chat")


def test_registering_an_existing_name_replaces_it_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry("api", {"openai": "perfkit.apis.openai:OpenAI"})
    with caplog.at_level(logging.INFO, logger="perfkit"):
        cls = registry.register("openai")(type("Mine", (), {}))
    assert registry.get("openai") is cls
    assert "api 'openai' is now" in caplog.text


def test_one_class_may_have_several_names() -> None:
    registry = Registry("dataset", {})
    cls = registry.register(["a", "b"])(type("Both", (), {}))
    assert (registry.get("a"), registry.get("b"), registry.names()) == (cls, cls, ["a", "b"])


def test_plugins_one_api_and_one_dataset_need_nothing_heavy() -> None:
    code = (
        "import sys, perfkit.plugins, perfkit.datasets, perfkit.apis.openai, perfkit.datasets.text;"
        "print(sorted({'aiohttp', 'asyncio', 'pandas', 'numpy', 'transformers', 'tokenizers', 'yaml', 'pyarrow'}"
        " & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
