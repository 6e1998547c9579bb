"""The page of `dbnet demo`."""

import json
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gradio as gr
import numpy as np

from dbnet.images import from_array
from dbnet.serving.session import Maps, Models, draw, find_texts

SIDES = (320, 1536)  # pixels of the short side: least, most
DOWNLOAD = "Download JSON"
SOURCES: list[Literal["upload", "clipboard", "webcam"]] = ["upload", "clipboard", "webcam"]


class Inputs(NamedTuple):
    """What the user sets; the last five change what is drawn, without the network."""

    image: gr.Image
    model: gr.Dropdown
    short_side: gr.Slider
    bin_thresh: gr.Slider
    box_thresh: gr.Slider
    unclip_ratio: gr.Slider
    shrink_ratio: gr.Slider
    show_map: gr.Checkbox


class Outputs(NamedTuple):
    """What the user sees."""

    drawn: gr.Image
    summary: gr.Markdown
    download: gr.DownloadButton


def build_page(models: Models) -> gr.Blocks:
    """Lay the page out: an image and its texts, drawn again whenever a setting changes."""
    with gr.Blocks(title="DBNet") as page:
        gr.Markdown("# Text detection\nDrop, paste or photograph an image.")
        with gr.Row():
            image = gr.Image(label="Image", sources=SOURCES, elem_id="image", min_width=320)
            drawn = gr.Image(
                label="Texts",
                elem_id="texts",
                interactive=False,
                buttons=["download", "fullscreen"],
            )
        with gr.Row(equal_height=True):
            summary = gr.Markdown(elem_id="summary")
            download = gr.DownloadButton(DOWNLOAD, visible=False, elem_id="download")
        controls = make_controls(models)  # below, so that the texts are seen on a narrow screen
        connect(models, Inputs(image, *controls), Outputs(drawn, summary, download))
    return page


def make_controls(models: Models) -> list[Any]:
    """Make the controls of `Inputs`, set as the first model's config has them."""
    names = list(models.openers)
    own = models.settings(names[0])
    inverse = own["grow"] == "inverse"
    model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model")
    with gr.Row():
        short_side = gr.Slider(
            *(*SIDES, models.short_side(names[0])), step=32, label="size: short side, pixels"
        )
        bin_thresh = gr.Slider(0.05, 0.95, own["bin_thresh"], step=0.01, label="bin_thresh")
        box_thresh = gr.Slider(0.05, 0.95, own["box_thresh"], step=0.01, label="box_thresh")
        unclip_ratio = gr.Slider(
            *(0.5, 4, own["unclip_ratio"]),
            step=0.05,
            label="unclip_ratio: more for larger boxes",
            visible=not inverse,
        )
        shrink_ratio = gr.Slider(
            *(0.2, 0.9, own["shrink_ratio"]),
            step=0.01,
            label="shrink_ratio: less for larger boxes",
            visible=inverse,
        )
    show_map = gr.Checkbox(label="Show the probability map", elem_id="show-map")
    return [model, short_side, bin_thresh, box_thresh, unclip_ratio, shrink_ratio, show_map]


def connect(models: Models, inputs: Inputs, outputs: Outputs) -> None:
    """Let the controls run the network, or only draw again."""
    maps = gr.State(None)

    def compute(pixels: np.ndarray | None, name: str, short_side: float) -> Maps | None:
        if pixels is None:
            return None
        return models.compute(name, from_array(pixels)[..., ::-1].copy(), int(short_side))

    def show(maps: Maps | None, name: str, *values: float) -> tuple[np.ndarray | None, str, Any]:
        if maps is None:
            return None, "", gr.DownloadButton(visible=False)
        changed = dict(zip(Inputs._fields[3:7], values))
        texts = find_texts(maps, models.settings(name) | changed)
        count = len(texts["polygons"])
        file = gr.DownloadButton(DOWNLOAD, value=write_json(maps, texts), visible=True)
        return draw(maps, texts, bool(values[-1])), f"{count} text{'s' * (count != 1)}", file

    def reset(name: str) -> list[Any]:
        own = models.settings(name)
        inverse = own["grow"] == "inverse"
        return [
            models.short_side(name),
            own["bin_thresh"],
            own["box_thresh"],
            gr.Slider(value=own["unclip_ratio"], visible=not inverse),
            gr.Slider(value=own["shrink_ratio"], visible=inverse),
        ]

    run: dict[str, Any] = dict(fn=compute, inputs=list(inputs[:3]), outputs=maps)
    drawing: dict[str, Any] = dict(fn=show, inputs=[maps, inputs.model, *inputs[3:]])
    drawing["outputs"] = list(outputs)
    inputs.image.change(**run).then(**drawing)
    inputs.short_side.release(**run).then(**drawing)
    inputs.model.change(reset, inputs.model, list(inputs[2:7])).then(**run).then(**drawing)
    for slider in inputs[3:7]:
        slider.release(**drawing)
    inputs.show_map.change(**drawing)


def write_json(maps: Maps, texts: dict[str, Any]) -> str:
    """Write the texts into a folder of its own, for download."""
    path = Path(tempfile.mkdtemp(prefix="dbnet-demo-"), "texts.json")
    found = dict(
        width=maps.image.shape[1],
        height=maps.image.shape[0],
        polygons=[polygon.ravel().tolist() for polygon in texts["polygons"]],
        scores=[float(score) for score in texts["scores"]],
    )
    path.write_text(json.dumps(found))
    return str(path)
