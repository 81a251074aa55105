"""Files of settings as they stand: keys that stand twice, encodings, what texts without quotes are read as."""

import pytest

from seamark.errors import ConfigError
from seamark.planning.settings_files import main, read_sources
from seamark.planning.variations import Variation, read_variations
from seamark.settings.config import load_config
from seamark.settings.written import SettingsFile, Sources

NAME = "expected a name of at most 100 letters, digits, _ . and -, of which the first is a letter or a digit"


def refused(content, name="m.yaml"):
    with pytest.raises(ConfigError) as caught:
        SettingsFile(name, content if isinstance(content, bytes) else content.encode()).settings()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: a\nseed: 1\nrun: b\n", "run stands twice, on lines 1 and 3"),
        ("run: a\r\nrun: b\r\n", "run stands twice, on lines 1 and 2"),
        ("binarize:\n  mebin:\n    erode_px: 6\n    erode_px: 6\n", "binarize.mebin.erode_px stands twice"),
        ("merge: {scale: 1,\n scale: 0.5}", "merge.scale stands twice, on lines 1 and 2"),
        ('{"run": "a",\n\t"run": "b"}', "run stands twice, on lines 1 and 2"),
        ("grids: {1: {}, '1': {}}", "grids.1 stands twice"),
        ("grids: {yes: {}, true: {}}", "grids.true stands twice (once as yes)"),
        ("grids: {0x1: {}, 1: {}}", "grids.1 stands twice (once as 0x1)"),
        ("ablate: {a: [x.yaml, {run: 1, run: 2}]}", "ablate.a, entry 2.run stands twice"),
        ("merge: &m {scale: 1}\nfuse:\n  <<: *m\n  <<: *m\n", "fuse.<< stands twice, on lines 3 and 4"),
        ("merge: &m {scale: 1, scale: 2}\nablate: {a: *m, b: *m}\n", "merge.scale stands twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(text, message):
    assert refused(text).startswith(f"m.yaml: {message}")
    assert refused(text).count("stands twice") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run: ä".encode("utf-16"), "m.yaml: is written in UTF-16 or UTF-32, not in UTF-8; save it as UTF-8: iconv"),
        ("run: a".encode("utf-16-le"), "m.yaml: is written in UTF-16"),
        ("run: a".encode("utf-32"), "m.yaml: is written in UTF-16 or UTF-32"),
        ("seed: 1\nrun: ä".encode("latin1"), "m.yaml: line 2 holds bytes that are no UTF-8"),
        ("merge:\n\tscale: 1", "m.yaml: line 2: not YAML (while scanning for the next token: found character"),
        ("", "m.yaml: no settings stand in it; write {}"),
        ("# nothing\n", "m.yaml: no settings stand in it"),
        ("- a", "m.yaml: expected settings by section, such as `run: demo`, found a list"),
        ("a: b: c", "m.yaml: line 1: not YAML (mapping values are not allowed here)"),
        ("a: 1\n---\nb: 2", "m.yaml: line 2: not YAML (expected a single document"),
        ("a: *b", "m.yaml: line 1: not YAML (found undefined alias 'b')"),
        ("run: !!python/object:os {}", "m.yaml: line 1: expected text, numbers, true, false, null"),
        ("? [a]\n: b", "m.yaml: line 1: expected text, numbers"),
        ("run: 2024-02-30", "m.yaml, line 1: run: 2024-02-30 is no date that can be read; quote it"),
        ("seed: 010", 'm.yaml, line 1: seed: 010 is read as the number 8; write 8, or quote it: "010"'),
        ("run: 1:30", "m.yaml, line 1: run: 1:30 is read as the number 90"),
        (
            "run: 2024-01-02T03:04:05",
            "m.yaml, line 1: run: 2024-01-02T03:04:05 is read as the date 2024-01-02 03:04:05; qu",
        ),
        (
            "data: {categories: woven, washers}",
            "m.yaml, line 1: data.washers: stands between commas without a value; write a list as [a, b], a number",
        ),
        ("merge:\n  {scale: 0,5}", "m.yaml, line 2: merge.5: stands between commas without a value"),
        ("data: {image_px_max: 1,000,000}", "m.yaml, line 1: data.000: stands between commas"),
        ("merge: {scale: 1:30.5}", "m.yaml, line 1: merge.scale: 1:30.5 is read as the number 90.5"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_with_its_line(content, message):
    assert refused(content).startswith(message)


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (b"\xef\xbb\xbfrun: a\r\nseed: 1\r\n", {"run": "a", "seed": 1}),
        (b'{"run":\t"a"}', {"run": "a"}),
        (b"{}", {}),
        (b"merge: &m {scale: 1, blend: mean}\nx:\n  <<: *m\n  scale: 2\n",
         {"merge": {"scale": 1, "blend": "mean"}, "x": {"scale": 2, "blend": "mean"}}),
        (b"a: 1_000\nb: 0x10\nc: 007\nd: 1.5\ne: .inf", {"a": 1000, "b": 16, "c": 7, "d": 1.5, "e": float("inf")}),
    ],
)  # fmt: skip
def test_what_is_plain_is_read(content, settings):
    assert SettingsFile("m.yaml", content).settings() == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: 2024_01", f'run: {NAME}, found 2024_01 (m.yaml, line 1), which is read as the number 202401; '
         'quote it: "2024_01"'),
        ("run: 007", f'run: {NAME}, found 007 (m.yaml, line 1), which is read as the number 7; quote it: "007"'),
        ("run: 7", f'run: {NAME}, found 7 (m.yaml, line 1); quote it: "7"'),
        ("run: .5", f"run: {NAME}, found .5 (m.yaml, line 1), which is read as the number 0.5\n"),
        ("run: -1", f"run: {NAME}, found -1 (m.yaml, line 1)\n"),
        ("merge: {5: 1}", "merge.5 (m.yaml, line 1): expected a key that is text, found 5, which is read as the number "
         "5\n"),
        ("run: no", f'run: {NAME}, found no (m.yaml, line 1), which is read as false; quote it: "no"'),
        ("run: 2024-01-02", f'run: {NAME}, found 2024-01-02 (m.yaml, line 1); quote it: "2024-01-02"'),
        ("run: ~", f'run: {NAME}, found ~ (m.yaml, line 1), which is read as null\n'),
        ("run:", f"run: {NAME}, found nothing (m.yaml, line 1), which is read as null; leave the key out"),
        ("run: &name 1.0", f'run: {NAME}, found 1.0 (m.yaml, line 1); quote it: "1.0"'),
        ("merge:", "merge: expected settings by name, found nothing (m.yaml, line 1), which is read as null; write {}"),
        ("seed: 1e5", "seed: expected a whole number, at least 0 and at most 2147483647, found 1e5 (m.yaml, line 1); "
         "write 100000"),
        ("seed: yes", "seed: expected a whole number, at least 0 and at most 2147483647, found yes (m.yaml, line 1)"),
        ("refine:\n  method: null", "refine.method: expected one of none, grabcut, guided, sam, found null (m.yaml, "
         "line 2); write none"),
        ("refine: {method: off}", "refine.method: expected one of none, grabcut, guided, sam, found off (m.yaml, "
         "line 1), which is read as false; write none"),
        ("refine: {method: 5}", "refine.method: expected one of none, grabcut, guided, sam, found 5 (m.yaml, "
         "line 1)\n"),
        ("demo: true", "demo: expected settings by name, found true (m.yaml, line 1); the setting is data.demo"),
        ("binarize: {quantile: yes}", "binarize.quantile: expected settings by name, found yes (m.yaml, line 1), which "
         "is read as true; write {enabled: yes}"),
        ("refine: off", "refine: expected settings by name, found off (m.yaml, line 1), which is read as false\n"),
        ("refine: {top_n: none}", "refine.top_n: expected a whole number, at least 1 or null, found none (m.yaml, "
         "line 1); write null"),
        ("data:\n  categories: [a, 001]", "data.categories, entry 2: expected text, found 001 (m.yaml, line 2), which "
         'is read as the number 1; quote it: "001"'),
        ("fuse: {members: aand}", "fuse.members: expected a list that is not empty, each entry text, found aand "
         "(m.yaml, line 1); write it as a list: [aand]"),
        ("x: &x\n  blend: 5\nmerge:\n  <<: *x", "merge.blend: expected one of mean, hann, found 5 (m.yaml, line 2)"),
        ("overrides: {no: {}}", "overrides.no (m.yaml, line 1): expected a key that is text, found no, which is read "
         'as false; quote it: "no"'),
        ("merge:\n  blnd: mean", "merge.blnd: unknown key (m.yaml, line 2); did you mean blend?"),
    ],
)  # fmt: skip
def test_a_message_quotes_what_stands_in_the_file(text, message):
    file = SettingsFile("m.yaml", text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file.settings(), Sources(((file, ()),)))
    assert f"  - {message}" in f"{caught.value}\n"


def test_the_last_file_with_a_setting_is_quoted():
    files = [SettingsFile(f"{name}.yaml", text) for name, text in (("a", b"seed: x\nrun: y"), ("b", b"seed: z"))]
    sources = Sources(tuple((file, ()) for file in files))
    assert sources.written(("seed",)).where == "b.yaml, line 1"
    assert sources.written(("run",)).where == "a.yaml, line 2"
    assert sources.written(("merge", "scale")) is None


def given(tmp_path, entries, read):
    (tmp_path / "config.yaml").write_text("run: demo\n")
    return read_sources([], entries, read, tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("entries", "read", "message"),
    [
        (["data={root: a, root: b}"], {"data": {"root": "b"}}, "--config: data.root stands twice; keep one of them"),
        (["run=a", "run=b"], {"run": "b"}, "--config: run stands twice; keep one of them"),
    ],
)
def test_a_key_that_stands_twice_on_the_command_line_is_refused(tmp_path, entries, read, message):
    with pytest.raises(ConfigError, match=message):
        given(tmp_path, entries, read)


def test_the_command_line_is_read_as_a_file_is(tmp_path):
    read = {"data": {"truth_root": "null", "demo": "false", "root": "x"}, "run": 202401, "seed": 3, "merge": "a: @"}
    entries = ["data={truth_root: null, demo: false}", "run='2024_01'", "seed=3", "merge=a: @"]
    sources = given(tmp_path, entries, read)
    assert read["data"] == {"truth_root": None, "demo": False, "root": "x"}
    assert (read["run"], read["seed"], read["merge"]) == ("2024_01", 3, "a: @")
    with pytest.raises(ConfigError, match=r"found 007 \(--config\).*; quote it, for the shell too: '\"007\"'"):
        load_config({"run": 7}, given(tmp_path, ["run=007"], {"run": 7}) + Sources())
    assert sources.written(("data", "demo")).where == "--config"


def test_a_file_of_any_place_is_read_strictly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twice.yaml").write_text("merge: {scale: 0.5}\nmerge: {scale: 1}\n")
    (tmp_path / "wrong.yaml").write_text("merge:\n  scale: large\n")
    overlays = {
        "a": ["twice.yaml"],
        "b": ["wrong.yaml"],
        "c": [{"merge": {"scale": "small"}}],
        "d": ["$NO_SUCH/x.yaml"],
    }
    file = SettingsFile("m.yaml", b"ablate:\n  c:\n  - merge: {scale: small}\n")
    run = Variation("run", "run", {"ablate": overlays}, None, sources=Sources(((file, ()),)))
    with pytest.raises(ConfigError) as caught:
        read_variations(run, [tmp_path], ["woven"])
    text = str(caught.value)
    assert "ablate.a: twice.yaml: merge stands twice, on lines 1 and 2" in text
    assert "merge.scale: expected a number, above 0 and at most 1, found large (wrong.yaml, line 2)" in text
    assert "merge.scale: expected a number, above 0 and at most 1, found small (m.yaml, line 3)" in text
    assert "ablate.d: preset $NO_SUCH/x.yaml: $NO_SUCH is not set" in text


def test_files_can_be_looked_at_before_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text("run: a\n")
    (tmp_path / "wide.yaml").write_bytes("run: a\n".encode("utf-16"))
    assert main(["good.yaml"]) is None
    assert main(["good.yaml", "wide.yaml", "none.yaml"]).splitlines() == [
        "wide.yaml: is written in UTF-16 or UTF-32, not in UTF-8; save it as UTF-8: iconv -f UTF-16 -t UTF-8 <file> > "
        "<new file>",
        "none.yaml: cannot be read (No such file or directory); expected a text file that you may read",
    ]
