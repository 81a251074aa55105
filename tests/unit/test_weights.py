"""Finding, verifying and loading weights."""

import contextlib
import hashlib
import random

import pytest
import torch
from torch import nn

from seamark.errors import WeightsError
from seamark.weights import load_strictly, read_state
from seamark.weights_files import WeightsSource, find_weights, hub_file, require_weights, verify_digest


def source(**changes):
    known = {"file": "net.pth", "licence": "MIT", "origin": "made here", "page": "https://example.org/net"}
    return WeightsSource(**(known | changes))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "site" / "carrier_of_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_a_package_is_preferred_to_the_cache(hub, package):
    carried, cached = package / "models" / "net.pth", hub / "net.pth"
    wanted = source(package="carrier_of_weights")
    cached.write_bytes(b"b")
    assert find_weights(wanted, "pretrained") == cached
    carried.write_bytes(b"a")
    assert find_weights(wanted, "pretrained") == carried


def test_a_path_is_taken_as_it_is(hub, tmp_path):
    (hub / "net.pth").write_bytes(b"a")
    own = tmp_path / "own.pth"
    with pytest.raises(WeightsError, match=r"looked at: .*own\.pth\. "):
        find_weights(source(), own)
    own.write_bytes(b"b")
    assert find_weights(source(), str(own)) == own


def test_missing_weights_name_file_places_digest_page_and_what_works_without(hub):
    wanted = source(sha256="abcd", package="absent_package", url="https://example.org/net.pth")
    with pytest.raises(WeightsError) as raised:
        find_weights(wanted, "pretrained")
    message = str(raised.value)
    for part in (
        "net.pth",
        "sha256 abcd",
        str(hub / "net.pth"),
        "https://example.org/net",
        "absent_package",
        "`weights: download`",
        "`backbone: efficientnet_lite0`",
    ):
        assert part in message


def test_an_unknown_digest_is_called_unknown(hub):
    with pytest.raises(WeightsError, match="sha256 not known"):
        find_weights(source(), "pretrained")


def test_a_download_lands_in_the_cache_and_is_not_repeated(hub, monkeypatch):
    calls = []

    def fetch(url, target, hash_prefix, progress):
        calls.append((url, hash_prefix))
        hub_file(wanted).write_bytes(b"fetched")

    wanted = source(sha256="ab", url="https://example.org/net.pth")
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert find_weights(wanted, "download").read_bytes() == b"fetched"
    assert find_weights(wanted, "download") == hub / "net.pth"
    assert calls == [("https://example.org/net.pth", "ab")]


def test_a_failed_download_names_address_and_page(hub, monkeypatch):
    def fail(*arguments, **named):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError, match=r"example\.org/net\.pth failed \(no route\)"):
        find_weights(source(url="https://example.org/net.pth"), "download")


def test_the_cache_is_the_one_that_torch_uses(monkeypatch, tmp_path):
    for variable, value in (("TORCH_HOME", tmp_path), ("TORCH_HOME", None), ("XDG_CACHE_HOME", tmp_path / "xdg")):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if value is not None:
            monkeypatch.setenv(variable, str(value))
        assert str(hub_file(source())) == f"{torch.hub.get_dir()}/checkpoints/net.pth"


def test_weights_are_required_before_a_run_without_reading_them(hub):
    wanted = source(size=5, sha256="ab")
    with pytest.raises(WeightsError, match=r"net\.pth \(sha256 ab\.\.\., 5 bytes\) are missing"):
        require_weights(wanted, "pretrained")
    with pytest.raises(WeightsError, match="are missing"):
        require_weights(wanted, "download")
    require_weights(source(url="https://example.org/net.pth"), "download")
    require_weights(wanted, "random")
    (hub / "net.pth").write_bytes(b"1234")
    with pytest.raises(WeightsError, match=r"net\.pth: 4 bytes, expected 5: the file is incomplete"):
        require_weights(wanted, "pretrained")
    require_weights(wanted, hub / "net.pth")
    (hub / "net.pth").write_bytes(b"12345")
    require_weights(wanted, "pretrained")


@pytest.mark.parametrize("digits", [8, 64])
def test_a_digest_or_its_beginning_is_compared(tmp_path, digits):
    path = tmp_path / "net.pth"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert verify_digest(path, source(sha256=digest[:digits])) == digest
    path.write_bytes(b"weightz")
    with pytest.raises(WeightsError, match=rf"net\.pth: sha256 is .*expected {digest[:digits]}"):
        verify_digest(path, source(sha256=digest[:digits]))


def test_an_unknown_digest_is_computed_all_the_same(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(b"weights")
    assert verify_digest(path, source()) == hashlib.sha256(b"weights").hexdigest()


def test_strict_loading(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"old.weight": torch.eye(2), "bias": torch.ones(2)}, path)
    with torch.device("meta"):
        network = nn.Linear(2, 2)
    load_strictly(network, path, {"old.weight": "weight"})
    assert network(torch.tensor([2.0, 3.0])).tolist() == [3.0, 4.0]


def test_half_precision_files_become_the_networks_type(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.eye(2, dtype=torch.float16), "bias": torch.ones(2, dtype=torch.float16)}, path)
    network = nn.Linear(2, 2)
    load_strictly(network, path, {})
    assert network.weight.dtype == torch.float32


def test_a_file_of_another_network_names_the_differences(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.ones(3, 2), "head": torch.ones(1)}, path)
    with pytest.raises(WeightsError) as raised:
        load_strictly(nn.Linear(2, 2), path, {})
    message = str(raised.value)
    assert "missing: bias" in message
    assert "unexpected: head" in message
    assert "misshaped: weight [3, 2] instead of [2, 2]" in message


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").write_text, ("x",))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match=r"trap\.pth: not a readable file of weights"):
        read_state(tmp_path / "trap.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_a_weights_error(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.pth: not a readable file of weights"):
        read_state(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes_give_a_weights_error_or_tensors(tmp_path, zipped):
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.ones(4)}, path, _use_new_zipfile_serialization=zipped)
    intact = path.read_bytes()
    generator = random.Random(4)
    for _ in range(60):
        damaged = bytearray(intact)
        for _ in range(4):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            assert all(isinstance(tensor, torch.Tensor) for tensor in read_state(path).values())


def test_a_file_of_something_else_is_a_weights_error(tmp_path):
    torch.save({"model": {"weight": torch.ones(1)}}, tmp_path / "nested.pth")
    with pytest.raises(WeightsError, match="dictionary of named tensors"):
        read_state(tmp_path / "nested.pth")
