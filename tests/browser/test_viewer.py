"""The image viewer in a browser: layers, zoom, keys, addresses, numbers."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests.stages.small_run import SPLITS, SmallRun
from tests.stages.test_image_labels import finished

from seamark.verification.staleness import mark_page

BAD = "#image=grey/test_public/bad%2F001_regular"
LAYERS = ["photograph", "map", "coarse", "refined", "truth"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("run"), categories=("grey",))
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    run.report(run.check())
    return run.out / "report/index.html"


@pytest.fixture
def viewer(open_page, report):
    page = open_page(report, BAD)
    page.locator("#viewer[open]").wait_for()
    return page


def title(page):
    return page.locator("#viewer-title").text_content()


def visible_layers(page):
    return page.locator(".stack img").evaluate_all(
        "images => images.filter((image) => !image.hidden).map((image) => image.dataset.layer)"
    )


def percent(page):
    return int(page.locator(".zoom output").text_content().split()[0])


def wait_for_zoom_beyond(page, before):
    zoomed = "before => parseInt(document.querySelector('.zoom output').textContent) > before"
    page.wait_for_function(zoomed, arg=before)


def wait_for_title(page, expected):
    page.wait_for_function("text => document.getElementById('viewer-title').textContent === text", arg=expected)


def test_keys_and_buttons_switch_the_layers(viewer):
    assert visible_layers(viewer) == ["photograph", "refined", "truth"]
    for key in "12345":
        viewer.keyboard.press(key)
    assert visible_layers(viewer) == ["map", "coarse"]
    for name in ("photograph", "refined", "truth"):
        viewer.locator(f"[data-layer={name}] >> visible=true").first.click()
    assert visible_layers(viewer) == LAYERS
    pressed = viewer.locator("button[data-layer]").evaluate_all("all => all.map((one) => one.ariaPressed)")
    assert pressed == ["true"] * 5


def test_layers_lie_exactly_on_each_other(viewer):
    viewer.keyboard.press("2")
    viewer.keyboard.press("3")
    viewer.evaluate("Promise.all([...document.querySelectorAll('.stack img')].map((image) => image.decode()))")
    boxes = viewer.locator(".stack img").evaluate_all(
        "images => images.map((image) => [image.naturalWidth, image.naturalHeight,"
        " ...['left', 'top', 'width', 'height'].map((side) => image.getBoundingClientRect()[side])])"
    )
    assert len(boxes) == 5
    assert all(box == boxes[0] for box in boxes)
    assert boxes[0][:2] == [80, 60]


def test_the_map_is_as_opaque_as_the_slider_says(viewer):
    slider = viewer.locator("#viewer input[type=range]")
    assert slider.is_disabled()
    viewer.keyboard.press("2")
    slider.fill("25")
    opacity = viewer.locator(".stack [data-layer=map]").evaluate("image => getComputedStyle(image).opacity")
    assert float(opacity) == 0.25
    slider.press("ArrowRight")
    assert slider.input_value() == "26"
    assert title(viewer) == "bad/001_regular"


def test_layers_that_an_image_lacks_say_why(open_page, report):
    page = open_page(report, "#image=grey/test_public/good%2F000_regular")
    page.locator("#viewer[open]").wait_for()
    assert page.locator("[data-layer=truth].absent").get_attribute("title") == "Truth (5): no defect"
    refined = page.locator("button[data-layer=refined].absent")
    assert "nothing found" in refined.get_attribute("title")
    refined.click(force=True)
    assert [refined.get_attribute(f"aria-{state}") for state in ("pressed", "disabled")] == ["false", "true"]
    page.evaluate("location.hash = '#image=grey/test_public/bad%2F001_regular'")
    page.locator("#viewer-title", has_text="bad/001_regular").wait_for()
    assert visible_layers(page) == ["photograph", "refined", "truth"]
    other = open_page(report, "#image=grey/test_private/001_regular")
    other.locator("#viewer[open]").wait_for()
    assert "not known" in other.locator("[data-layer=truth].absent").get_attribute("title")


def test_zoom_by_keys_and_buttons(viewer):
    fitted = percent(viewer)
    viewer.keyboard.press("+")
    assert percent(viewer) > fitted
    viewer.keyboard.press("-")
    viewer.keyboard.press("-")
    assert percent(viewer) < fitted
    viewer.keyboard.press("0")
    assert percent(viewer) == fitted
    viewer.locator("[data-do=actual]").click()
    assert percent(viewer) == 100
    stack = viewer.locator(".stack")
    assert stack.evaluate("stack => stack.getBoundingClientRect().width") == 80
    rendering = "stack => getComputedStyle(stack.firstChild).imageRendering"
    assert stack.evaluate(rendering) == "auto"
    viewer.locator("[data-do=in]").click()
    assert percent(viewer) == 125
    assert stack.evaluate(rendering) == "pixelated"


def position_below(page, x, y):
    """Where a point of the window lies on the image, as shares of its width and height."""
    return page.locator(".stack").evaluate(
        "(stack, [x, y]) => { const box = stack.getBoundingClientRect();"
        " return [(x - box.left) / box.width, (y - box.top) / box.height]; }",
        [x, y],
    )


def test_the_wheel_zooms_about_the_pointer(viewer):
    before, point = percent(viewer), position_below(viewer, 300, 400)
    viewer.mouse.move(300, 400)
    viewer.mouse.wheel(0, -300)
    wait_for_zoom_beyond(viewer, before)
    assert position_below(viewer, 300, 400) == pytest.approx(point, abs=1e-3)


def test_dragging_moves_the_image_but_never_out_of_sight(viewer):
    left = "() => document.querySelector('.stack').getBoundingClientRect().left"
    before = viewer.evaluate(left)
    viewer.mouse.move(400, 400)
    viewer.mouse.down()
    viewer.mouse.move(460, 400)
    assert viewer.evaluate(left) == pytest.approx(before + 60, abs=0.5)
    viewer.mouse.move(400 + 5000, 400)
    viewer.mouse.up()
    stage = viewer.locator(".stage").bounding_box()
    assert viewer.evaluate(left) <= stage["x"] + stage["width"] - 40


def test_two_fingers_zoom_about_their_middle(open_page, report):
    page = open_page(report, BAD, has_touch=True, viewport={"width": 400, "height": 800})
    page.locator("#viewer[open]").wait_for()
    before = percent(page)
    stage = page.locator(".stage").bounding_box()
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    fingers = page.context.new_cdp_session(page)

    def touch(kind, reach):
        points = [{"x": x - reach, "y": y, "id": 1}, {"x": x + reach, "y": y, "id": 2}] if reach else []
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    point = position_below(page, x, y)
    touch("touchStart", 30)
    for reach in (40, 50, 60):
        touch("touchMove", reach)
    touch("touchEnd", 0)
    wait_for_zoom_beyond(page, before)
    assert percent(page) == pytest.approx(2 * before, rel=0.25)
    assert position_below(page, x, y) == pytest.approx(point, abs=0.02)


def test_arrows_walk_in_the_order_of_the_gallery_and_stop_at_its_ends(viewer):
    order = viewer.locator(".gallery .shot b").all_text_contents()
    assert viewer.locator("[data-do=previous]").is_disabled()
    viewer.keyboard.press("ArrowLeft")
    assert title(viewer) == order[0]
    for expected in order[1:]:
        viewer.keyboard.press("ArrowRight")
        assert title(viewer) == expected
    assert viewer.locator("[data-do=next]").is_disabled()
    assert viewer.locator(".viewer-place").text_content().endswith(f"{len(order)} of {len(order)}")
    viewer.keyboard.press("ArrowLeft")
    assert title(viewer) == order[-2]


def test_escape_closes_help_first_and_the_viewer_then(viewer):
    viewer.keyboard.press("?")
    assert viewer.locator(".help").is_visible()
    viewer.keyboard.press("Escape")
    assert not viewer.locator(".help").is_visible()
    assert viewer.locator("#viewer[open]").count() == 1
    viewer.keyboard.press("Escape")
    viewer.locator("#viewer[open]").wait_for(state="detached")
    assert viewer.url.endswith("#images")


def test_back_closes_the_viewer_and_forward_opens_it_again(open_page, report):
    page = open_page(report)
    page.locator(".gallery").scroll_into_view_if_needed()
    page.locator(".shot").first.click()
    page.locator("#viewer[open]").wait_for()
    page.keyboard.press("ArrowRight")
    second = title(page)
    assert "003_overexposed" in page.url
    page.go_back()
    page.locator("#viewer[open]").wait_for(state="detached")
    page.wait_for_function("text => document.activeElement.querySelector('b')?.textContent === text", arg=second)
    page.go_forward()
    page.locator("#viewer[open]").wait_for()
    assert title(page) == second
    page.keyboard.press("Escape")
    page.locator("#viewer[open]").wait_for(state="detached")
    assert "#image" not in page.url


def test_an_address_without_its_image_opens_nothing(open_page, report):
    page = open_page(report, "#image=grey/test_public/none")
    page.wait_for_function("() => location.hash === '#images'")
    assert page.locator("#viewer[open]").count() == 0
    page.evaluate(f"() => {{ location.hash = '{BAD}'; }}")
    page.locator("#viewer[open]").wait_for()
    wait_for_title(page, "bad/001_regular")


def test_numbers_name_the_files_that_they_come_from_and_all_links_lead_to_files(viewer):
    panel = viewer.locator(".facts-panel")
    text = panel.text_content()
    for expected in (
        "Peak score",
        "F1 coarse",
        "F1 refined",
        "False positives, refined0 px",
        "Defects more than half covered, refined1 of 1",
    ):
        assert expected in text
    for expected in ("50_calibration/grey/test_public.json", "90_eval/grey.json", "60_coarse/grey/test_public.json"):
        assert expected in text
    hrefs = panel.locator("a").evaluate_all("links => links.map((link) => link.href)")
    files = [Path(unquote(urlsplit(href).path)) for href in hrefs]
    assert [file for file in files if not file.is_file()] == []
    assert {".tiff", ".png", ".jpg", ".json"} == {file.suffix for file in files}


def test_the_colour_bar_marks_threshold_and_peak(viewer):
    ticks = viewer.locator(".bar i").evaluate_all("ticks => ticks.map((tick) => [tick.className, tick.title])")
    assert [kind for kind, _ in ticks] == ["threshold", "peak"]
    assert ticks[0][1] == "mean_std 2"
    low, high = (float(text) for text in viewer.locator("#viewer .ends span").all_text_contents())
    assert low < 2 < high


def test_a_page_that_is_older_than_its_inputs_says_so(open_page, report):
    assert open_page(report).locator("#stale").is_hidden()
    mark_page(report, "stale: made before <train> ran again")
    assert open_page(report).locator("#stale").text_content() == "stale: made before <train> ran again"
    mark_page(report, "")


def test_an_image_without_a_mask_shows_its_label_and_no_scores_of_pixels(open_page, tmp_path):
    run = finished(tmp_path, masks=False)
    run.report()
    page = open_page(run.out / "report/index.html", BAD)
    page.locator("#viewer[open]").wait_for()
    numbers = page.locator(".numbers").text_content()
    assert "Scores of images onlyno mask" in numbers
    assert "F1" not in numbers
    assert "Truthbad" in numbers
