"""Weights: read, matched, downloaded, converted and published."""

# Whose names a file's weights have; without an import, as `dbnet convert --help` lists them.
FORMATS = {
    "mhliao": "MhLiao/DB, the paper's own code",
    "mmocr0": "MMOCR 0.x",
    "dbnet": "this project and MMOCR 1.x",
    "backbone": "a ResNet alone: torchvision, oCLIP",
}
