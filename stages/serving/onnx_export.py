"""A generator as an ONNX file: latents, labels and noise in, images out, for batches of any size."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from stages.config.errors import ParameterError, StageError
from stages.contracts.rows import SeededRows
from stages.contracts.translator import Translator
from stages.serving.trained_model import TrainedModel

TOLERANCE = 1e-4  # of values in [-1, 1], between ONNX Runtime and torch
EXAMPLES = 3


class Exported(nn.Module):
    """A generator as it samples: `inputs` (batch, …), in this order, to images (batch, channels, height, width).

    The inputs are `latent`, `label` (int64) where images depend on classes, and `noise_1`, `noise_2`, … where the
    generator draws N(0, 1) noise for each image (StyleGAN). The truncation is a part of the file. A translator's one
    input is `source`, images in [-1, 1].
    """

    def __init__(self, model: TrainedModel, truncation: float) -> None:
        super().__init__()
        self.generator = with_constant_buffers(model.generator)
        self.translates = isinstance(model.generator, Translator)
        self.truncation = truncation
        self.inputs = self._example(model)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Images in [-1, 1]."""
        inputs = dict(zip(self.inputs, tensors, strict=True))
        first, *noise = (value for name, value in inputs.items() if name != "label")
        labels = inputs.get("label", torch.zeros(first.shape[0], dtype=torch.int64))
        with GivenNoise(noise):
            if self.translates:
                return self.generator(first, labels)
            return self.generator.generate(first, labels, self.truncation)

    def _example(self, model: TrainedModel) -> dict[str, Tensor]:
        """Inputs by name: those that give the images of the first seeds."""
        if isinstance(model.generator, Translator):
            shape = model.generator.source_shape(model.image_shape)
            return {"source": torch.linspace(-1, 1, EXAMPLES * math.prod(shape)).view(EXAMPLES, *shape)}
        labels = torch.arange(EXAMPLES) % max(1, len(model.labels))
        with torch.no_grad(), SeededRows(range(EXAMPLES)):
            latent = model.generator.latent(labels)
            with NoteNoise() as noted:
                self.generator.generate(latent, labels, self.truncation)
        by_class = {"label": labels} if model.generator.label_meaning == "class" else {}
        noise = {f"noise_{number}": drawn for number, drawn in enumerate(noted.drawn, start=1)}
        return {"latent": latent} | by_class | noise


class NoteNoise(TorchFunctionMode):
    """Within it, what torch.randn draws is noted in `drawn`."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.randn:
            self.drawn.append(result)
        return result


class GivenNoise(TorchFunctionMode):
    """Within it, each call of torch.randn takes the next one of these tensors."""

    def __init__(self, noise: Sequence[Tensor]) -> None:
        super().__init__()
        self.noise = iter(noise)

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return next(self.noise) if func is torch.randn else func(*args, **(kwargs or {}))


def with_constant_buffers(generator: nn.Module) -> Any:
    """A copy to export: stages of growth, which the code branches on, are plain numbers."""
    generator = copy.deepcopy(generator).eval().to(memory_format=torch.contiguous_format)
    for module in generator.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.ndim == 0 and buffer.is_floating_point():
                delattr(module, name)
                setattr(module, name, float(buffer))
    return generator


def model_to_onnx(model: TrainedModel, truncation: float = 1.0) -> tuple[bytes, float]:
    """The bytes of an ONNX file for batches of any size, and how far ONNX Runtime's images are from torch's.

    A truncation in [0, 1] becomes a part of the file. Raises StageError where a value differs by more than 1e-4.
    """
    if isinstance(model.generator, Translator) and truncation != 1:
        raise ParameterError(f"truncation: {model.name} translates images: it has no latents to truncate")
    exported = Exported(model, truncation).eval()
    examples = tuple(exported.inputs.values())
    batch = torch.export.Dim("batch", min=1, max=2**20)
    with quiet(), torch.no_grad():
        # strict: otherwise `len(tensor)` in a network fixes the size of the batch
        graph = torch.export.export(
            exported, examples, dynamic_shapes={"tensors": tuple({0: batch} for _ in examples)}, strict=True
        )
        program = torch.onnx.export(
            graph, input_names=list(exported.inputs), output_names=["image"], dynamo=True, verbose=False
        )
    if program is None:
        raise StageError("torch.onnx made no file")
    about = {"variant": model.name, "labels": json.dumps(model.labels), "truncation": str(truncation)}
    program.model.metadata_props.update(about)
    content = cleaned(program.model_proto)
    difference = largest_difference(content, exported)
    if not difference <= TOLERANCE:
        raise StageError(f"ONNX Runtime's images differ from torch's by {difference:.1e}; allowed: {TOLERANCE}")
    return content, difference


def cleaned(proto: Any) -> bytes:
    """The bytes of an ONNX model whose first dimensions are called `batch`, without traces of the code's own files."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del proto.graph.value_info[:]  # sizes inside, by the exporter's names
    for part in (*proto.graph.node, *proto.graph.initializer, *proto.graph.input, *proto.graph.output, proto.graph):
        del part.metadata_props[:]
    return proto.SerializeToString()


def largest_difference(content: bytes, exported: Exported) -> float:
    """The largest difference between the images of an ONNX file in ONNX Runtime and those of torch."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (images,) = session.run(None, {name: value.numpy() for name, value in exported.inputs.items()})
    with torch.no_grad():
        return float(np.abs(images - exported(*exported.inputs.values()).numpy()).max())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, the exporter's messages about its internals are not shown."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
