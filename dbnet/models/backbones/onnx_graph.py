from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dbnet.checkpoints.foreign import is_onnx
from dbnet.checkpoints.read import read_checkpoint, state_dict_of
from dbnet.errors import UserError
from dbnet.foreign.graph import Graph, Node
from dbnet.foreign.lower import read_graph
from dbnet.models.onnx_operators import GraphModule
from dbnet.registry import MODELS
from dbnet.utils.log import log

PROBE = (64, 96)  # height and width of the image that tells the resolution of each tensor
STRIDE = 4  # of what a DBHead reads
MAX_WINDOW = 64  # pixels; the largest kernel of PP-OCRv6 has 7
MAX_NUMBERS = 1 << 28  # of all tensors together, for the image of PROBE: 1 GB
CONVOLUTIONS = ("Conv", "ConvTranspose")
GIVE = "give one with --cfg-options model.backbone.file=FILE.onnx"


@MODELS.register_module()
class ONNXGraph(GraphModule):
    """Backbone and neck of a detector in an ONNX file, of any project.

    The graph is split where all that the output depends on passes through one tensor at stride 4
    from which the network only enlarges: what `DBHead` reads. What lies behind it, without its
    sigmoid, is `head_branch`, which `DBNet` gives to the head in place of its own first branch.

    Weights are parameters below the file's names: `conv2d_7.w_0` is `conv2d_7.weight` here. The
    graph itself is in the state dict, as numbers in the buffer `graph_bytes`; so a checkpoint is
    all that is needed to build the network again, and may be given as `file`.

    Args:
        file: An ONNX file, or a checkpoint that was trained from one.
        frozen: Modules that are not trained, by the beginnings of their names.
        frozen_convolutions: The first so many convolutions of the graph are not trained, nor is
            what lies before the next one.
        norm_eval: Keep the running statistics of every batch norm fixed in training.

    Attributes:
        out_channels: Channels of the output, at stride 4.
        head_branch: From there to the logits of the probability map, (N, 1, H, W).
    """

    graph_bytes: Tensor

    def __init__(
        self,
        file: str | None = None,
        frozen: Sequence[str] = (),
        frozen_convolutions: int = 0,
        norm_eval: bool = True,
    ) -> None:
        if file is None:
            raise UserError(f"model.backbone.file: is the ONNX file of a detector; {GIVE}")
        whole, state = read_network(file)
        graph = without_sigmoid(whole, file)
        shapes = probe(graph, state, file)
        cut = find_split(graph, shapes, file)
        body = Graph(graph.nodes[: cut + 1], graph.input, graph.nodes[cut].output)
        super().__init__(body, norm_eval)
        self.out_channels = shapes[body.output][1]
        branch = GraphModule(Graph(graph.nodes[cut + 1 :], body.output, graph.output), norm_eval)
        for part in (self, branch):
            part.load_state_dict({key: state[key] for key in part.state_dict()})
        # Not its own part: the head that takes it is its owner.
        self._branch = (branch,)
        content = np.frombuffer(whole.to_bytes(), np.uint8).astype(np.int32)
        # int32: processes that average buffers leave it as it is.
        self.register_buffer("graph_bytes", torch.from_numpy(content))
        self.freeze(frozen, frozen_convolutions)
        if is_onnx(file):
            log(
                f"{file}: split behind {describe(graph.nodes[cut])}, node {cut + 1} of "
                f"{len(graph.nodes)}: {self.out_channels} channels at stride {STRIDE} for the head"
            )

    @property
    def head_branch(self) -> GraphModule:
        return self._branch[0]

    def train(self, mode: bool = True) -> "ONNXGraph":
        super().train(mode)
        for module in self.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.eval()
        return self

    def freeze(self, prefixes: Sequence[str], num_convolutions: int) -> None:
        """Exclude modules from training, by their names or by their depth."""
        names = list(dict.fromkeys(node.name for node in self.graph.nodes if node.name))
        ops = {node.name: node.op for node in self.graph.nodes if node.name}
        unknown = next((p for p in prefixes if not any(n.startswith(p) for n in names)), None)
        if unknown is not None:
            raise ValueError(f"frozen: no name begins with {unknown!r} (first name: {names[0]})")
        places = [i for i, name in enumerate(names) if ops[name] in CONVOLUTIONS]
        if not 0 <= num_convolutions <= len(places):
            raise ValueError(f"frozen_convolutions must lie in 0..{len(places)}")
        end = [*places, len(names)][num_convolutions] if num_convolutions else 0
        for i, name in enumerate(names):
            if i < end or name.startswith(tuple(prefixes)):
                self.get_submodule(name).requires_grad_(False)


def read_network(file: str) -> tuple[Graph, dict[str, Tensor]]:
    """Read graph and weights from an ONNX file, or from a checkpoint that has both."""
    if is_onnx(file):
        graph, arrays = read_graph(Path(file))
        return graph, {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}
    state = state_dict_of(read_checkpoint(file), file)
    content = state.get("backbone.graph_bytes")
    if not isinstance(content, Tensor):
        raise UserError(
            f"model.backbone.file: {file} is neither an ONNX file nor a checkpoint trained from "
            f"one; {GIVE}"
        )
    try:
        graph = Graph.from_bytes(bytes(content.to(torch.uint8).numpy()))
    except ValueError as error:
        raise UserError(f"checkpoint {file}: {error}") from None
    places = ("backbone.", "det_head.binarize.")
    weights = {
        key.removeprefix(place): value.float() if value.is_floating_point() else value
        for place in places
        for key, value in state.items()
        if key.startswith(place) and isinstance(value, Tensor)
    }
    return graph, weights


def without_sigmoid(graph: Graph, file: str) -> Graph:
    """End a graph with the logits of its map."""
    nodes, makers = list(graph.nodes), {node.output: node for node in graph.nodes}
    last = makers[graph.output]
    if last.op == "Sigmoid":
        kept = [node for node in nodes if node is not last]
        return Graph(kept, graph.input, last.inputs[0])

    def is_mean(node: Node | None) -> bool:
        """Whether a tensor is made of probabilities, as PP-OCR's servers average two maps."""
        if node is None or node.op == "Sigmoid":
            return node is not None
        arithmetic = node.op in ("Add", "MulNumber", "DivNumber")
        return arithmetic and all(is_mean(makers.get(name)) for name in node.inputs)

    if not is_mean(last):
        raise UserError(
            f"{file}: its output is made by {last.op}, not by a Sigmoid, so it is no map of "
            "probabilities"
        )
    return Graph([*nodes, Node("Logit", [last.output], "logits")], graph.input, "logits")


@torch.inference_mode()
def probe(graph: Graph, state: Mapping[str, Tensor], file: str) -> dict[str, tuple[int, ...]]:
    """Run a graph on a small image, and return the shape of each of its tensors.

    Memory is bounded: no weight is made that the file does not have.
    """
    values, shapes, total = {graph.input: torch.zeros(1, 3, *PROBE)}, {}, 0
    where = "its first node"
    try:
        with torch.device("meta"):  # where no weight has memory
            network = GraphModule(graph).eval()
        for key, own in network.state_dict().items():
            if key not in state or state[key].shape != own.shape:
                raise ValueError(f"{key} is missing or has another shape")
        network.load_state_dict({k: state[k] for k in network.state_dict()}, assign=True)
        for node, spent in zip(graph.nodes, network.spent):
            where = describe(node)
            check_window(node)
            value = network.compute(node, [values[name] for name in node.inputs])
            total += value.numel()
            if total > MAX_NUMBERS:
                raise ValueError("its tensors are too large")
            values[node.output], shapes[node.output] = value, tuple(value.shape)
            for name in spent:
                values.pop(name, None)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{file}: {where} cannot be computed for an image of {PROBE[1]}x{PROBE[0]} pixels "
            f"({reason})"
        ) from None
    shape = shapes[graph.output]
    if shape != (1, 1, *PROBE):
        raise UserError(
            f"{file}: of an image (1, 3, {PROBE[0]}, {PROBE[1]}) it makes {shape}, no map of its "
            "height and width"
        )
    return shapes


def check_window(node: Node) -> None:
    """Raise a ValueError if a pad, a stride or a scale is larger than any network's."""
    for key in ("kernel", "stride", "dilation", "padding", "scales"):
        if max(node.attributes.get(key, [0])) > MAX_WINDOW:
            raise ValueError(f"its {key} is above {MAX_WINDOW}")


def find_split(graph: Graph, shapes: Mapping[str, Sequence[int]], file: str) -> int:
    """Find the node behind which the head begins.

    It is the first that makes the only tensor still needed, at stride 4, with nothing coarser
    behind it.
    """
    height = PROBE[0] // STRIDE
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    alive: set[str] = set()
    found = None
    for i, node in enumerate(graph.nodes):
        alive = {name for name in (*alive, node.output) if last.get(name, -1) > i}
        size = tuple(shapes[node.output][2:])
        if size[0] < height and size != (1, 1):  # the mean over an image is not coarse
            found = None
        elif found is None and size[0] == height and alive == {node.output}:
            found = i
    if found is None:
        raise UserError(f"{file}: has no tensor at stride {STRIDE} from which a head begins")
    return found


def describe(node: Node) -> str:
    return f"{node.op} ({node.name or node.output})"
