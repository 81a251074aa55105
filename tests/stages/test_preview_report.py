"""The preview and report stages on a small run that is made by hand."""

import csv
import html
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from tests.indexes import with_labelled_masks
from tests.stages.small_run import SPLITS, SmallRun

from seamark.errors import DataError, ManifestError
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest, MaskWarning
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.preview import PreviewManifest
from seamark.manifests.ranking import QuantileFit
from seamark.manifests.submission import ChallengeVerdict, RuleBreach
from seamark.manifests.verdict import RateRecord, VerdictManifest


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run whose previews are drawn, with a random backbone and one evaluated split."""
    run = SmallRun(tmp_path_factory.mktemp("run"))
    for category in run.categories:
        for split in SPLITS:
            run.lists["preview"].append(run.preview(category, split))
    return run


def links(page, text):
    """Relative targets of a page, without its anchors."""
    found = [html.unescape(target) for target in re.findall(r'(?:href|src)="([^"#][^"]*)"', text)]
    return [(page.parent / unquote(target)).resolve() for target in found]


def test_every_image_has_a_strip_and_the_split_a_contact_sheet(finished):
    path = finished.path("80_preview", "grey", "test_public")
    manifest = read_manifest(path, PreviewManifest)
    assert [strip.id for strip in manifest.strips][:2] == ["good/000_regular", "bad/001_regular"]
    files = [strip.file for strip in manifest.strips] + [manifest.contact_sheet]
    assert all(Image.open(path.parent / file).format == "JPEG" for file in files)
    strip = Image.open(path.parent / manifest.strips[0].file)
    assert strip.width > 5 * 96
    without_truth = read_manifest(finished.path("80_preview", "grey", "test_private"), PreviewManifest).strips[0]
    assert Image.open(path.parent / without_truth.file).width < strip.width


def test_layers_have_one_size_and_masks_are_clear_outside(finished):
    path = finished.path("80_preview", "grey", "test_public")
    bad = next(strip for strip in read_manifest(path, PreviewManifest).strips if strip.id == "bad/001_regular")
    layers = {layer.name: Image.open(path.parent / layer.file) for layer in bad.layers}
    assert list(layers) == ["thumbnail", "photograph", "map", "coarse", "refined", "truth"]
    assert layers.pop("thumbnail").size == (96, 72)
    assert {layer.size for layer in layers.values()} == {(bad.layer_width, bad.layer_height)} == {(80, 60)}
    for name in ("coarse", "refined", "truth"):
        drawn = np.asarray(layers[name].convert("RGBA"))
        assert drawn[22, 32, 3] > 0
        assert not drawn[50, 70, 3]


def test_an_empty_mask_has_no_layer_and_layers_are_bounded(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    path = run.preview("grey", "test_public", layer_px=64)
    good, bad = read_manifest(path, PreviewManifest).strips
    assert [layer.name for layer in good.layers] == ["thumbnail", "photograph", "map"]
    assert Image.open(path.parent / bad.layers[-1].file).size == (64, 48) == (bad.layer_width, bad.layer_height)


def test_previews_name_the_files_that_they_show(finished):
    path = finished.path("80_preview", "grey", "validation")
    strip = read_manifest(path, PreviewManifest).strips[0]
    files = [(path.parent / file).resolve() for file in (strip.map, strip.coarse, strip.refined)]
    stages = [file.relative_to(finished.out.resolve()).parts[0] for file in files]
    assert stages == ["45_fused", "60_coarse", "75_verdicts"]
    assert all(file.is_file() for file in files)


def test_strips_are_the_same_each_time(finished):
    path = finished.path("80_preview", "grey", "test_public")
    before = path.read_bytes()
    finished.preview("grey", "test_public")
    assert path.read_bytes() == before


def test_all_splits_of_a_category_share_one_colour_range(finished):
    ranges = {
        category: {
            read_manifest(finished.path("80_preview", category, split), PreviewManifest).colour_range
            for split in SPLITS
        }
        for category in finished.categories
    }
    assert all(len(found) == 1 for found in ranges.values())
    assert ranges["grey"] != ranges[finished.categories[1]]


def test_preview_refuses_a_mask_of_another_image(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    mask = run.path("60_coarse", "grey", "validation").with_suffix("") / "001_regular.png"
    Image.fromarray(np.full((60, 80), 255, np.uint8)).save(mask)
    with pytest.raises(ManifestError, match=r"001_regular\.png"):
        run.preview("grey", "validation")
    assert not run.path("80_preview", "grey", "validation").exists()


def test_preview_refuses_a_truth_mask_of_another_size(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    Image.fromarray(np.zeros((30, 80), np.uint8)).save(run.truth / "grey/test_public/bad/001_regular_mask.png")
    with pytest.raises(DataError, match="80 x 30 px"):
        run.preview("grey", "test_public")


def test_labelled_masks_in_a_folder_are_drawn_as_their_union(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    strips = read_manifest(run.preview("grey", "test_public"), PreviewManifest).strips
    with_labelled_masks(run.path("00_index", "grey", "test_public.truth"), run.truth)
    assert read_manifest(run.preview("grey", "test_public"), PreviewManifest).strips == strips


def test_preview_names_the_manifest_that_lacks_an_image(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    path = run.path("75_verdicts", "grey", "validation")
    masks = read_manifest(path, MasksManifest)
    write_manifest(path, masks.model_copy(update={"masks": masks.masks[:1]}))
    with pytest.raises(ManifestError, match=r"75_verdicts.*001_regular"):
        run.preview("grey", "validation")


def test_preview_refuses_a_split_without_images(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=1)
    path = run.path("45_fused", "grey", "validation")
    write_manifest(path, read_manifest(path, MapsManifest).model_copy(update={"maps": ()}))
    with pytest.raises(ManifestError, match="lists no images"):
        run.preview("grey", "validation")


def test_page_tells_what_the_run_did(finished):
    text, _ = finished.report(finished.check())
    plain = html.unescape(text)
    for expected in (*finished.categories, "bank", "run <1>", "AucPro_0.05", "validation images only", "0.810"):
        assert expected in plain
    for expected in ("IAP@0.9", "SegF1 oracle", "0.765–0.843", "200 resamples", "Defects found by size", "1.250"):
        assert expected in plain
    assert "The backbone weights are random" in plain
    assert 'class="badge good">accepted' in text
    assert "all masks are empty" in plain
    assert "This phase runs without a loss" in plain
    assert "1.2 s" in plain
    assert "321 MB" in plain


def test_every_link_of_the_page_leads_to_a_file_and_none_to_the_network(finished):
    text, _ = finished.report(finished.check())
    page = finished.out / "report/index.html"
    targets = links(page, text)
    assert len(targets) > 50
    assert [target for target in targets if not target.is_file()] == []
    assert "http://" not in text
    assert "https://" not in text
    assert "data:" not in re.sub(r"<pre>.*</pre>", "", text, flags=re.DOTALL)
    assert text.count('loading="lazy"') == text.count("<img ") > 0


def gallery_data(page, category):
    text = (page.parent / "gallery/images" / f"{category}.js").read_text(encoding="ascii")
    return json.loads(re.fullmatch(r"seamark\.receive\((.*)\);\n", text).group(1))


def test_the_gallery_holds_every_image_with_its_numbers_and_files(finished):
    finished.report(finished.check())
    page = finished.out / "report/index.html"
    for category in finished.categories:
        data = gallery_data(page, category)
        assert data["category"] == category
        assert [image["split"] for image in data["images"]] == [split for split in SPLITS for _ in range(4)]
        files = [
            (page.parent / unquote(data["splits"][image["split"]]["base"] + file)).resolve()
            for image in data["images"]
            for file in (*image["layers"].values(), *image["files"].values())
        ]
        assert [file for file in files if not file.is_file()] == []
    bad = next(image for image in data["images"] if image["id"] == "bad/001_regular")
    assert (bad["label"], bad["light"], bad["size"]) == ("bad", "regular", [80, 60])
    assert (bad["scores"]["refined_f1"], bad["scores"]["defects"], bad["refined"]["px"]) == (1.0, 1, 25)
    assert bad["thresholds"] == [["mean_std", 2.0]]
    unknown = data["images"][-1]
    assert (unknown["label"], unknown["scores"]) == (None, None)


def test_the_report_is_the_same_each_time(finished):
    def written():
        finished.report(finished.check())
        return {path: path.read_bytes() for path in (finished.out / "report").rglob("*") if path.is_file()}

    assert written() == written()


def test_a_report_that_fails_at_the_end_leaves_the_one_of_before(finished, tmp_path):
    def written():
        return {path: path.stat().st_mtime_ns for path in finished.out.rglob("*") if path.is_file()}

    finished.report(finished.check())
    before = written()
    (tmp_path / "check.json").write_text("{")
    with pytest.raises(ManifestError, match=r"check\.json: not a CheckReport"):
        finished.report(tmp_path / "check.json")
    assert written() == before


def test_report_refuses_previews_of_images_that_have_no_mask(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    path = run.path("60_coarse", "grey", "test_private")
    masks = read_manifest(path, MasksManifest)
    write_manifest(path, masks.model_copy(update={"masks": masks.masks[:1]}))
    with pytest.raises(ManifestError, match=r"test_private\.json: image 001_regular.*has no mask"):
        run.report()


def test_a_warning_of_masks_stands_by_the_thresholds_with_the_photograph(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    path = run.path("60_coarse", "grey", "test_private")
    warning = MaskWarning(text="one <sets> it", photograph="001_regular", photograph_split="validation")
    write_manifest(path, read_manifest(path, MasksManifest).model_copy(update={"warnings": (warning,)}))
    text, _ = run.report()
    thresholds = re.search(r'<section id="thresholds">.*?</section>', text, flags=re.DOTALL)[0]
    assert "<b>Look at 001_regular.</b> one &lt;sets&gt; it" in thresholds
    (shown,) = re.findall(r'<img src="([^"]+)"', thresholds)
    assert unquote(shown) == "../80_preview/grey/validation/001_regular.jpg"
    assert ">60_coarse/grey/test_private.json</a>" in thresholds


def test_splits_that_are_judged_at_other_rates_are_told_apart(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=1)
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    path = run.path("75_verdicts", "grey", "test_private.verdicts")
    wider = RateRecord(asked=0.3, used=0.3, above=2.3)
    write_manifest(path, read_manifest(path, VerdictManifest).model_copy(update={"bad": wider, "look": wider}))
    text, _ = run.report()
    told = re.findall(r"(?:([\w, ]+): )?Bad: p at most ([\d.]+)", text)
    assert told == [("test_public", "0.05"), ("test_private", "0.3")]


def test_every_section_names_its_files(finished):
    text, _ = finished.report(finished.check())
    sections = re.findall(r'<section id="(\w+)">(.*?)</section>\s*(?=<section id|</main>)', text, flags=re.DOTALL)
    assert [name for name, _ in sections] == [
        "glance",
        "run",
        "metrics",
        "verdicts",
        "thresholds",
        "charts",
        "images",
        "cost",
        "provenance",
    ]
    assert [name for name, section in sections if 'href="../' not in section] == []
    assert ">90_eval/summary.csv</a>" in text
    assert ">50_calibration/grey/validation.npy</a>" in text


def test_names_are_escaped(finished):
    text, _ = finished.report(finished.check())
    assert "<b>seals" not in text
    assert "run <1>" not in text
    assert "<data>" not in text
    assert "rubber &lt;b&gt;seals &amp; gaskets" in text


def test_refused_submission_shows_the_broken_rule(finished):
    text, _ = finished.report(finished.check("refused"))
    assert 'class="badge bad">refused' in text
    assert "000_&lt;i&gt;.png: wrong name" in text


def test_page_shows_which_settings_break_the_rules_of_a_challenge(finished):
    facts = {"rule": "one_setting_for_all", "remedy": "give one value"}
    breach = RuleBreach(setting="refine.method", values={"can": "none", "rice": "<sam>"}, **facts)
    caution = RuleBreach(setting="binarize.peak_share", values={"*": 0.5}, **facts)
    kept = ChallengeVerdict(challenge="vand3", enforced=False, breaches=(), cautions=())
    broken = ChallengeVerdict(challenge="vand4", enforced=False, breaches=(breach,), cautions=(caution,))
    text, _ = finished.report(finished.check(challenges=(kept, broken)))
    assert 'VAND 3.0 <span class="badge good">kept' in text
    assert 'VAND 4.0 <span class="badge warn">broken' in text
    plain = html.unescape(text)
    assert '<code>refine.method</code> (one_setting_for_all): "none" for can and "<sam>" for rice; give one' in plain
    assert "<code>binarize.peak_share</code> (one_setting_for_all): 0.5; give one value" in plain
    assert "<sam>" not in text
    assert "Challenge rules" not in finished.report(finished.check())[0]


def test_page_without_submission(finished):
    text, _ = finished.report()
    assert "no submission: the run has no private split" in text


def test_pretrained_weights_give_no_warning(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2, digest="ab" * 32, verified=True)
    text, _ = run.report()
    assert "weights are random" not in text
    assert "not the published digest" not in text


def test_page_warns_of_a_random_segmenter_and_of_weights_that_were_not_verified(tmp_path):
    random_sam = "sam vit_b with random weights"
    run = SmallRun(tmp_path, categories=("grey",), images=2, digest="ab" * 32, refined_by=random_sam)
    text, _ = run.report()
    assert f"refined by {random_sam};" in text
    assert "not the published digest" in text
    assert "abababab" in text


def test_page_without_any_truth(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2, evaluated=())
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    text, summary = run.report(run.check(), plots=True)
    assert "No truth is known" in text
    assert "grey/overlap_curve is absent: no truth is known for any split of grey" in text
    assert "Highest peak scores" in text
    assert [target for target in links(run.out / "report/index.html", text) if not target.is_file()] == []
    assert len(summary.read_text().splitlines()) == 1


def test_page_says_that_fitted_maps_were_ranked(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    text, _ = run.report(plots=True)
    assert "Ranked maps" not in text
    path = run.lists["evaluation"][0]
    fit = QuantileFit(low=0.1, high=0.9, low_score=0.0, high_score=1.0)
    write_manifest(path, read_manifest(path, EvaluationManifest).model_copy(update={"ranking": fit}))
    fitted, _ = run.report(plots=True)
    assert "its quantiles 0.1 and 0.9 are those of the validation scores" in fitted
    assert "threshold (raw score)" in text
    assert "threshold (fitted score)" in fitted
    markers = [len(re.findall(r"<title>mean_std \d", page)) for page in (text, fitted)]
    assert markers[1] == markers[0] - 2, "thresholds are not drawn over the curves of other maps"


@pytest.fixture(scope="module")
def plotted(finished):
    return finished.report(plots=True)[0]


def test_plots_lie_beside_the_page(finished, plotted):
    manifest = read_manifest(finished.out / "report/plots/plots.json", PlotsManifest)
    kinds = (
        "split_histograms",
        "score_histograms",
        "threshold_curves",
        "overlap_curve",
        "image_roc",
        "precision_recall",
        "training_bank",
    )
    expected = {f"{category}/{kind}" for category in finished.categories for kind in kinds}
    assert {plot.name for plot in manifest.plots} == {"scores", "cost", *expected}
    assert manifest.absent == ()
    linked = set(links(finished.out / "report/index.html", plotted))
    files = {path.resolve() for path in (finished.out / "report/plots").rglob("*.*") if path.suffix != ".json"}
    assert len(files) == 3 * len(manifest.plots)
    assert files <= linked


def test_page_shows_scores_by_truth_and_masks_by_threshold(finished, plotted):
    for category in finished.categories:
        for title in ("Pixel scores of {} by truth", "Masks of {} by their threshold"):
            label = re.escape(html.escape(title.format(category)))
            chart = re.search(f'aria-label="{label}".*?</svg>', plotted).group()
            assert "test_public" in chart
            assert "test_private" not in chart


def test_summary_holds_the_scores(finished):
    _, summary = finished.report()
    with summary.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    whole = [row["category"] for row in rows if row["light"] == "all"]
    assert whole == [*sorted(finished.categories), "mean"]
    assert rows[0]["auc_pro"] == "0.810000"


def test_report_refuses_a_damaged_histogram(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    np.save(run.out / "50_calibration/grey/test_public.npy", np.zeros(10, np.int64))
    with pytest.raises(ManifestError, match=r"grey/test_public\.npy.*rebuild"):
        run.report()
