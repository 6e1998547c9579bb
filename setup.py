"""Package DBNet, with its configs as package data under `dbnet/configs`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = {}
exec((HERE / "dbnet" / "version.py").read_text(), VERSION)

# Deformable convolutions need onnxscript 0.7.1 and ONNX Runtime 1.25 (Python 3.11).
ONNX = ["onnx>=1.16", "onnxscript>=0.7.1", "onnxruntime>=1.18"]
OPENVINO = ["openvino>=2025.0"]
S3 = ["s3fs>=2024.6"]
GS = ["gcsfs>=2024.6"]
SERVE = ["fastapi>=0.110", "python-multipart>=0.0.9", "uvicorn>=0.29"]
DEMO = ["gradio>=5"]
RAY = ["ray[data]>=2.9"]
HUB = ["huggingface_hub>=0.25", "safetensors>=0.4"]

setup(
    name="dbnet",
    version=VERSION["__version__"],
    description="Train, test and fine-tune scene text detectors with Differentiable Binarization",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["dbnet", "dbnet.*"]), "dbnet.configs"],
    package_dir={"dbnet.configs": "configs"},
    package_data={
        "dbnet.configs": ["**/*.py", "**/*.yml"],
        "dbnet.data_check": ["*.jinja"],
        "dbnet.report": ["*.jinja"],
        "dbnet.visualization": ["*.jinja"],
        "dbnet.weights": ["*.pth", "*.md"],
    },
    install_requires=(HERE / "requirements.txt").read_text().split(),
    extras_require={
        "onnx": ONNX,
        "openvino": OPENVINO,
        "s3": S3,
        "gs": GS,
        "serve": SERVE,
        "demo": DEMO,
        "hub": HUB,
        "ray": RAY,
        "dev": [
            *ONNX,
            *OPENVINO,
            *SERVE,
            *DEMO,
            *HUB,
            "mypy>=1.8",
            "pycocotools>=2.0.7",
            "pre-commit>=3",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "scipy>=1.11",
            "selenium>=4.15",
        ],
    },
    entry_points={"console_scripts": ["dbnet = dbnet.cli.main:main"]},
)
