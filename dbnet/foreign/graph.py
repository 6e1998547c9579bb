"""A network as data: what each node does with which tensors. Weights are kept beside it."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

MAX_BYTES = 16 << 20  # of the text; the largest PP-OCR file has 60 kB


@dataclass
class Node:
    """One operation."""

    op: str  # a key of `dbnet.models.onnx_operators.OPERATORS`
    inputs: list[str]  # tensors that it reads, without those that are weights
    output: str  # the tensor that it makes
    # Its settings: numbers, words and lists of them.
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""  # path of the module that has its weights; empty if it has none


class Graph(NamedTuple):
    """Nodes in the order of the computation, from one input to one output."""

    nodes: Sequence[Node]
    input: str
    output: str

    def to_bytes(self) -> bytes:
        """Write the graph as compressed JSON."""
        content = [[asdict(node) for node in self.nodes], self.input, self.output]
        return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Graph":
        """Read what `to_bytes` has written; else, or if it is too large, raise a ValueError."""
        try:
            reader = zlib.decompressobj()
            text = reader.decompress(content, MAX_BYTES)
            if reader.unconsumed_tail:
                raise ValueError(f"has more than {MAX_BYTES} bytes")
            nodes, start, end = json.loads(text)
            return cls([Node(**node) for node in nodes], start, end)
        except (zlib.error, TypeError, ValueError) as error:
            raise ValueError(f"the graph in it is damaged ({error})") from None
