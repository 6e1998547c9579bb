"""The page of `dbnet demo`: what runs the network and what does not; in a real browser."""

import shutil

import cv2
import numpy as np
import pytest

from dbnet.apis.inferencer import open_network
from dbnet.serving.session import Models, draw, find_texts

PICTURE = np.full((200, 400, 3), 255, np.uint8)
cv2.putText(PICTURE, "Exit 7", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 5)


class Settings:
    def __init__(self):
        self.__dict__.update(bin_thresh=0.3, box_thresh=0.5, unclip_ratio=1.5, grow="unclip")
        self.__dict__.update(shrink_ratio=0.4, text_repr_type="quad")


class Network:
    """Gives a map with one text in its middle."""

    def __init__(self):
        self.postprocessor, self.calls, self.scale = Settings(), 0, (400, 200)

    def prepare(self, image, facts):
        scale = min(self.scale) / 200
        shape = (int(image.shape[0] * scale), int(image.shape[1] * scale))
        return dict(shape=shape, metas=dict(facts, scale_factor=(scale, scale), img_shape=shape))

    def maps(self, samples):
        self.calls += 1
        height, width = samples[0]["shape"]
        prob_map = np.zeros((1, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
        prob_map[0, height // 2 - 10 : height // 2 + 10, width // 4 : width * 3 // 4] = 0.8
        return prob_map


def test_settings_need_no_network_and_sizes_do():
    network = Network()
    models = Models({"a": lambda: network})
    assert (models.short_side("a"), models.settings("a")["box_thresh"]) == (200, 0.5)
    maps = models.compute("a", PICTURE, 100)
    assert (network.calls, network.scale, models.short_side("a")) == (1, (200, 100), 200)
    settings = models.settings("a")
    (text,) = find_texts(maps, settings)["polygons"]
    assert 60 < text[:, 0].min() < 100 and 300 < text[:, 0].max() < 340  # pixels of the image
    assert find_texts(maps, settings | dict(box_thresh=0.9))["polygons"] == []
    assert find_texts(maps, settings | dict(bin_thresh=0.85))["polygons"] == []
    (larger,) = find_texts(maps, settings | dict(unclip_ratio=3.0))["polygons"]
    assert np.ptp(larger[:, 1]) > np.ptp(text[:, 1])
    assert network.calls == 1


def test_drawing_with_and_without_the_map():
    models = Models({"a": Network})
    maps = models.compute("a", PICTURE, 200)
    texts = find_texts(maps, models.settings("a"))
    plain, heat = draw(maps, texts, False), draw(maps, texts, True)
    assert plain.shape == heat.shape == PICTURE.shape
    assert (plain[5, 5] == 255).all() and not (heat[5, 5] == heat[100, 200]).all()
    assert (PICTURE[5, 5] == 255).all()  # is left alone


def test_models_open_at_their_first_use():
    opened = []
    openers = {name: (lambda name=name: opened.append(name) or Network()) for name in "ab"}
    models = Models(openers)
    models.short_side("a")
    models.compute("b", PICTURE, 200)
    models.compute("b", PICTURE, 200)
    assert opened == ["a", "b"]


@pytest.mark.parametrize("size", [(1300, 900), (400, 900)], ids=["wide", "narrow"])
def test_in_a_browser(tmp_path, monkeypatch, size):
    pytest.importorskip("gradio")
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium here")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    from dbnet.serving.page import build_page

    network = open_network(None, None, "cpu", False)
    calls = []
    compute = network.maps
    network.maps = lambda samples: calls.append(1) or compute(samples)
    page = build_page(Models({"package": lambda: network}))
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    switches = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking")
    for switch in (*switches, f"window-size={size[0]},{size[1]}"):
        options.add_argument(f"--{switch}")
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), PICTURE)
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        wait = WebDriverWait(browser, 60)
        browser.get(url)
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#image input[type=file]"))
        file = browser.find_element(By.CSS_SELECTOR, "#image input[type=file]")
        file.send_keys(str(picture))
        wait.until(lambda b: "text" in b.find_element(By.ID, "summary").text)
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#texts img"))
        before = browser.find_element(By.CSS_SELECTOR, "#texts img").get_attribute("src")
        box = browser.find_element(By.CSS_SELECTOR, "#show-map input")
        browser.execute_script("arguments[0].click()", box)
        shown = lambda b: b.find_element(By.CSS_SELECTOR, "#texts img").get_attribute("src")  # noqa: E731
        wait.until(lambda b: shown(b) != before)
        assert len(calls) == 1
        link = browser.find_element(By.CSS_SELECTOR, "#download")
        assert link.is_displayed() and link.text == "Download JSON"
        overflow = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(overflow) <= 0
        browser.save_screenshot(str(tmp_path / "page.png"))
    finally:
        browser.quit()
        page.close()
