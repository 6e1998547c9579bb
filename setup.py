"""Package DBNet, with its configs as package data under `dbnet/configs`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = {}
exec((HERE / "dbnet" / "version.py").read_text(), VERSION)

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
        "dbnet.weights": ["*.pth", "*.md"],
    },
    install_requires=(HERE / "requirements.txt").read_text().split(),
    extras_require={
        "onnx": ["onnx>=1.16"],
        "dev": [
            "mypy>=1.8",
            "onnx>=1.16",
            "pre-commit>=3",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "safetensors>=0.4",
            "scipy>=1.11",
        ],
    },
    entry_points={"console_scripts": ["dbnet = dbnet.cli.main:main"]},
)
