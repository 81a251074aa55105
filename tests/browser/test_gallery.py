"""Galleries in a browser: order, filters, keys, and 2,000 images in one category."""

import pytest
from tests.browser.many_images import f1_of, peak_of, report_of_many_images
from tests.stages.small_run import SPLITS, SmallRun

MANY = 2000
FILTERS = (
    ("split", "test_public", 4),
    ("light", "overexposed", 6),
    ("label", "bad", 2),
    ("label", "unknown", 8),
    ("answer", "bad", 4),
    ("answer", "good", 8),
    ("answer", "look", 0),
    ("show", "false_positives", 0),
    ("show", "missed_defects", 0),
    ("show", "right", 4),
    ("show", "found", 4),
)
"""Field, value and number of images that it leaves of 12."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("run"))
    for category in run.categories:
        run.lists["preview"] += [run.preview(category, split) for split in SPLITS]
    run.report(run.check())
    return run.out / "report/index.html"


@pytest.fixture(scope="module")
def large_report(tmp_path_factory):
    return report_of_many_images(tmp_path_factory.mktemp("many"), MANY)


def gallery_of(page, position=0):
    gallery = page.locator(".gallery").nth(position)
    gallery.scroll_into_view_if_needed()
    gallery.locator(".shot").first.wait_for()
    return gallery


def names(gallery):
    return gallery.locator(".shot b").all_text_contents()


def peaks(gallery):
    texts = gallery.locator(".shot span:last-child").all_text_contents()
    return [float(text.split()[1]) for text in texts]


def counted(gallery):
    return gallery.locator("output").text_content()


def test_every_image_has_a_thumbnail_that_opens_its_own_address(open_page, report):
    gallery = gallery_of(open_page(report))
    assert counted(gallery) == "12 of 12 images"
    addresses = gallery.locator(".shot").evaluate_all("shots => shots.map((shot) => shot.hash)")
    assert len(set(addresses)) == 12
    assert "#image=grey/test_public/bad%2F001_regular" in addresses
    shown = gallery.locator("img").first
    shown.evaluate("image => image.decode()")
    assert shown.evaluate("image => image.naturalWidth") == 96
    assert all(gallery.locator("img").evaluate_all("images => images.map((image) => image.alt)"))


def test_images_are_sorted_by_f1_first_and_by_what_is_chosen_then(open_page, report):
    gallery = gallery_of(open_page(report))
    assert names(gallery)[0] == "bad/001_regular"
    gallery.locator("[name=sort]").select_option("peak")
    falling = peaks(gallery)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 5 > falling[-1]
    gallery.locator("[name=direction]").click()
    assert peaks(gallery) == falling[::-1]
    assert gallery.locator("[name=direction]").get_attribute("aria-label") == "Direction: lowest first"


def test_filters_keep_what_they_say_until_they_are_reset(open_page, report):
    gallery = gallery_of(open_page(report))
    all_of_it = "gallery => gallery.querySelector('output').textContent === '12 of 12 images'"
    for field, value, left in FILTERS:
        gallery.locator(f"[name={field}]").select_option(value)
        assert counted(gallery) == f"{left} of 12 images", (field, value)
        assert len(names(gallery)) == left
        if field == "answer":
            assert gallery.locator(".badge").all_text_contents() == [f"called {value}"] * left
        gallery.locator("[type=reset]").click()
        gallery.page.wait_for_function(all_of_it, arg=gallery.element_handle())
        assert len(names(gallery)) == 12


def test_filters_by_number_and_name_work_together(open_page, report):
    gallery = gallery_of(open_page(report))
    gallery.locator("[name=peak]").fill("5")
    assert counted(gallery) == "4 of 12 images"
    gallery.locator("[name=name]").fill("BAD/003")
    assert names(gallery) == ["bad/003_overexposed"]
    gallery.locator("[name=f1]").fill("0.5")
    assert counted(gallery) == "0 of 12 images"


def test_arrow_keys_move_through_the_thumbnails_and_enter_opens_one(open_page, report):
    page = open_page(report)
    gallery = gallery_of(page)
    order = names(gallery)
    columns = gallery.locator(".shots").evaluate("box => getComputedStyle(box).gridTemplateColumns.split(' ').length")
    gallery.locator(".shot").first.focus()
    expected = 0
    moves = (("ArrowRight", 1), ("ArrowDown", columns), ("ArrowLeft", -1), ("ArrowUp", -columns), ("End", 11))
    for key, by in moves:
        page.keyboard.press(key)
        expected += by
        assert page.evaluate("document.activeElement.querySelector('b').textContent") == order[expected]
    assert gallery.locator('.shot[tabindex="0"]').count() == 1
    page.keyboard.press("Enter")
    page.locator("#viewer[open]").wait_for()
    assert page.locator("#viewer-title").text_content() == order[-1]


def test_a_category_with_a_hostile_name_has_its_gallery(open_page, report):
    page = open_page(report)
    gallery = gallery_of(page, 1)
    assert counted(gallery) == "12 of 12 images"
    gallery.locator(".shot").first.click()
    page.locator("#viewer[open]").wait_for()
    assert page.locator(".viewer-place").text_content().startswith("rubber <b>seals & gaskets #1 100% · test_public")
    assert page.locator(".viewer-place b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_screen(open_page, report, scheme, width):
    page = open_page(report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    gallery = gallery_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    gallery.locator(".shot").first.click()
    page.locator("#viewer[open]").wait_for()
    wide = "() => [...document.querySelectorAll('#viewer button')].map((one) => one.getBoundingClientRect().right)"
    assert max(page.evaluate(wide)) <= width
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 3 * 128) == (scheme == "dark")


def test_two_thousand_images_are_sorted_and_filtered(open_page, large_report):
    gallery = gallery_of(open_page(large_report))
    assert counted(gallery) == f"{MANY} of {MANY} images"
    gallery.locator("[name=sort]").select_option("peak")
    expected = sorted(range(MANY), key=lambda number: -peak_of(number))
    assert [int(name.split("/")[1][:4]) for name in names(gallery)] == expected
    gallery.locator("[name=f1]").fill("0.1")
    assert counted(gallery) == f"{sum(f1_of(number) <= 0.1 for number in range(MANY))} of {MANY} images"


def test_only_thumbnails_near_the_window_are_loaded(open_page, large_report):
    page = open_page(large_report)
    gallery = gallery_of(page)
    gallery.locator("img").first.evaluate("image => image.decode()")
    loaded = "images => images.filter((image) => image.complete && image.naturalWidth).length"
    assert 0 < gallery.locator("img").evaluate_all(loaded) < MANY / 4
    gallery.locator(".shot").first.focus()
    page.keyboard.press("End")
    last = gallery.locator(".shot").last
    last.locator("img").evaluate("image => image.decode()")
    assert last.evaluate("shot => shot === document.activeElement")
    page.keyboard.press("Enter")
    page.locator("#viewer[open]").wait_for()
    assert page.locator(".viewer-place").text_content().endswith(f"{MANY} of {MANY}")
