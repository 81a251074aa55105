"""Verdicts in a browser: the threshold that is moved, the table, and what the viewer says of the gate."""

import pytest
from tests.browser.many_images import SPLIT, bad_of, multiply, peak_of
from tests.browser.test_viewer import title
from tests.stages.small_run import SmallRun
from tests.verdicts import BAD_ABOVE, LOOK_ABOVE, NORMAL_SCORES, answer_of, p_of

from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.verdict import VerdictManifest

MANY = 40
EMPTIED = "good/0000_regular"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("run"), categories=("grey",))
    run.lists["preview"] += [run.preview("grey", split) for split in (SPLIT, "test_private")]
    multiply(run, "grey", MANY)
    path = run.path("75_verdicts", "grey", f"{SPLIT}.verdicts")
    found = read_manifest(path, VerdictManifest)
    gate = {EMPTIED: "emptied"}
    images = [image.model_copy(update={"mask": gate.get(image.id, "kept")}) for image in found.images]
    write_manifest(path, found.model_copy(update={"images": tuple(images)}))
    run.report()
    return run.out / "report/index.html"


@pytest.fixture
def panel(open_page, report):
    found = open_page(report).locator(".verdict")
    found.scroll_into_view_if_needed()
    found.locator(".facts div").first.wait_for()
    return found


def facts(panel):
    return dict(zip(panel.locator("dt").all_text_contents(), panel.locator("dd").all_text_contents(), strict=True))


def expected(threshold):
    above = sum(score > threshold for score in NORMAL_SCORES)
    flagged = [(bad_of(number), peak_of(number) > threshold) for number in range(MANY)]
    return {
        "Flagged: scores above": f"{threshold:g}",
        "with p at most": f"{(1 + above) / (len(NORMAL_SCORES) + 1):g}",
        "Normal images above": f"{above} of {len(NORMAL_SCORES)}",
        "False alarms": f"{flagged.count((False, True))} of {MANY // 2} good",
        "Misses": f"{flagged.count((True, False))} of {MANY // 2} bad",
    }


def test_moving_the_threshold_counts_false_alarms_and_misses_anew(panel):
    assert facts(panel) == expected(BAD_ABOVE)
    panel.locator("[name=look]").click()
    assert facts(panel) == expected(LOOK_ABOVE)
    slider = panel.locator("input[type=range]")
    for threshold in (5.25, 1.75):
        slider.fill(str(threshold))
        assert facts(panel) == expected(threshold)
    assert len({tuple(expected(threshold).values()) for threshold in (BAD_ABOVE, LOOK_ABOVE, 5.25, 1.75)}) == 4
    line = panel.locator(".at").evaluate("line => line.getBoundingClientRect().x")
    slider.press("End")
    assert facts(panel)["Misses"] == f"{MANY // 2} of {MANY // 2} bad"
    assert panel.locator(".at").evaluate("line => line.getBoundingClientRect().x") > line


def test_without_a_truth_the_threshold_counts_what_is_flagged(panel):
    panel.locator("select").select_option("test_private")
    assert facts(panel)["Flagged, truth not known"] == "2 of 4"
    assert not {"False alarms", "Misses"} & set(facts(panel))
    panel.locator("input[type=range]").press("Home")
    assert facts(panel)["Flagged, truth not known"] == "4 of 4"
    assert "2 bad, 0 look, 2 good" in panel.locator("summary").text_content()


def test_the_table_is_sorted_by_p_and_by_answer_and_leads_to_the_viewer(panel):
    def column(number):
        return panel.locator(f"tbody td:nth-child({number})").all_text_contents()

    peaks = [peak_of(number) for number in range(MANY)]
    assert panel.locator("tbody tr").count() == 0
    panel.locator("summary").click()
    panel.locator("tbody tr").first.wait_for()
    assert [float(p) for p in column(4)] == pytest.approx(sorted(map(p_of, peaks)))
    worst = max(range(MANY), key=peak_of)
    assert f"/{worst:04d}_" in column(1)[0]
    panel.get_by_role("button", name="Answer").click()
    answers = [answer_of(peak) for peak in peaks]
    shown = {"bad": "called bad", "look": "look at it", "good": "called good"}
    ranked = [text for answer, text in shown.items() for _ in range(answers.count(answer))]
    assert column(2) == ranked
    panel.get_by_role("button", name="Answer").click()
    assert column(2) == ranked[::-1]
    assert panel.locator("[aria-sort]").get_attribute("aria-sort") == "ascending"
    first = column(1)[0]
    panel.locator("tbody a").first.click()
    panel.page.locator("#viewer[open]").wait_for()
    assert title(panel.page) == first
    panel.page.keyboard.press("Escape")
    panel.page.wait_for_function("name => document.activeElement.textContent === name", arg=first)


def test_the_viewer_says_that_a_mask_was_emptied(open_page, report):
    page = open_page(report, f"#image=grey/{SPLIT}/{EMPTIED.replace('/', '%2F')}")
    page.locator("#viewer[open]").wait_for()
    assert "the refined mask was emptied" in page.locator(".stage-note").text_content()
    assert "Maskemptied by the verdict" in page.locator(".numbers").text_content()
    assert page.locator("[data-layer=refined]").first.get_attribute("title") == "Refined mask (4): emptied"
    page.keyboard.press("ArrowRight")
    assert page.locator(".stage-note").text_content() == ""


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_of_the_panel_is_wider_than_the_screen(open_page, report, width):
    page = open_page(report, viewport={"width": width, "height": 800})
    panel = page.locator(".verdict")
    panel.scroll_into_view_if_needed()
    panel.locator(".facts div").first.wait_for()
    panel.locator("summary").click()
    panel.locator("tbody tr").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    box = "part => { const { x, y, right, bottom } = part.getBoundingClientRect(); return [x, y, right, bottom]; }"
    parts = panel.locator("form > *, .facts > div, summary").evaluate_all(f"parts => parts.map({box})")
    for place, (left, top, _, _) in enumerate(parts):
        assert not any(x < left < right and y < top < bottom for x, y, right, bottom in parts[:place])
