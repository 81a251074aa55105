"""Finding, verifying and loading weights."""

import contextlib
import hashlib
import http.server
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from seamark.errors import WeightsError
from seamark.planning.required_weights import RequiredWeights, require_all
from seamark.weights.finding import WeightsSource, find_weights, hub_file, require_weights, verify_digest
from seamark.weights.reading import load_strictly, read_state


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


class Server:
    """A web server on this machine; ``files`` holds body and announced length by path."""

    def __init__(self):
        self.files, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if self.path not in outer.files:
                    self.send_error(404)
                    return
                body, announced = outer.files[self.path]
                self.send_response(200)
                if announced is not None:
                    self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def serve(self, path, body, announced=None):
        self.files[path] = (body, len(body) if announced is None else announced)
        return self.url(path)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.stop()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("digits", [0, 8, 64])
def test_a_download_lands_in_the_cache_and_is_not_repeated(hub, server, digits):
    wanted = source(url=server.serve("/net.pth", b"fetched"), sha256=sha256(b"fetched")[:digits] or None)
    assert find_weights(wanted, "download") == hub / "net.pth"
    assert find_weights(wanted, "download").read_bytes() == b"fetched"
    assert find_weights(wanted, "pretrained") == hub / "net.pth"
    assert server.asked == ["/net.pth"]
    assert [path.name for path in hub.iterdir()] == ["net.pth"]


def test_the_cache_is_made_when_it_is_missing(tmp_path, monkeypatch, server):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "new"))
    assert find_weights(source(url=server.serve("/net.pth", b"x")), "download").read_bytes() == b"x"


def test_nothing_is_downloaded_unless_asked_for(hub, server):
    with pytest.raises(WeightsError, match="are missing"):
        find_weights(source(url=server.serve("/net.pth", b"x")), "pretrained")
    assert server.asked == []


def test_a_failed_download_names_address_and_page(hub, server):
    with pytest.raises(WeightsError, match=r"/absent\.pth failed \(HTTP Error 404.*See https://example\.org/net"):
        find_weights(source(url=server.url("/absent.pth")), "download")
    server.stop()
    with pytest.raises(WeightsError, match=r"/net\.pth failed \(.*refused"):
        find_weights(source(url=server.url("/net.pth")), "download")
    assert list(hub.iterdir()) == []


def test_downloads_are_made_before_the_first_job_and_those_that_fail_stop_it(hub, server):
    wanted = source(url=server.serve("/net.pth", b"fetched"))
    absent = source(file="absent.pth", url=server.url("/absent.pth"))
    needed = [
        RequiredWeights(wanted, "download", "detectors.urd.weights"),
        RequiredWeights(absent, "download", "refine.sam.weights"),
    ]
    with pytest.raises(
        WeightsError, match=r"refine\.sam\.weights: absent\.pth: the download from .* failed"
    ) as refusal:
        require_all(needed)
    assert "urd" not in str(refusal.value)
    assert (hub / "net.pth").read_bytes() == b"fetched"


def test_a_download_of_another_digest_is_not_kept(hub, server):
    wanted = source(url=server.serve("/net.pth", b"other"), sha256=sha256(b"fetched"))
    with pytest.raises(WeightsError, match=f"is {sha256(b'other')}, expected {sha256(b'fetched')}; nothing was kept"):
        find_weights(wanted, "download")
    assert list(hub.iterdir()) == []


def test_a_download_that_breaks_off_is_not_kept(hub, server):
    wanted = source(url=server.serve("/net.pth", b"half", announced=8))
    with pytest.raises(WeightsError, match=r"4 bytes came from .*/net\.pth, expected 8; nothing was kept"):
        find_weights(wanted, "download")
    assert list(hub.iterdir()) == []
    server.serve("/net.pth", b"complete")
    assert find_weights(wanted, "download").read_bytes() == b"complete"


def test_a_download_of_another_length_is_not_kept(hub, server):
    wanted = source(url=server.serve("/net.pth", b"half"), size=8)
    with pytest.raises(WeightsError, match=r"4 bytes came from .*/net\.pth, expected 8"):
        find_weights(wanted, "download")
    assert list(hub.iterdir()) == []


def test_an_interrupted_download_leaves_no_half_file(hub, server, monkeypatch):
    def interrupted(answer, stream):
        stream.write(answer.read(2))
        raise KeyboardInterrupt

    wanted = source(url=server.serve("/net.pth", b"complete"))
    with monkeypatch.context() as patch:
        patch.setattr("seamark.weights.finding.shutil.copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            find_weights(wanted, "download")
    assert list(hub.iterdir()) == []
    assert find_weights(wanted, "download").read_bytes() == b"complete"


def test_jobs_may_download_the_same_file_at_once(hub, server):
    content = bytes(range(256)) * 4096
    wanted = source(url=server.serve("/net.pth", content), sha256=sha256(content))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: find_weights(wanted, "download").read_bytes() == content, range(8)))
    assert all(found)
    assert [path.name for path in hub.iterdir()] == ["net.pth"]


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
