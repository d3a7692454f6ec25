"""SummaryWriter: PyTorch's signatures over tensorboardX, tensors handed on as arrays."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, Self

from flambeau.tensor.tensor import Tensor
from flambeau.utils._pytree import tree_map_only

__all__ = ["SummaryWriter"]


def library() -> Any:
    """tensorboardX. Raises ModuleNotFoundError that says how to install it."""
    try:
        return importlib.import_module("tensorboardX")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "torch.utils.tensorboard writes through tensorboardX, which is not installed: "
            "pip install flambeau[tensorboard]",
            name=error.name,
        ) from None


def _array(value: Tensor) -> Any:
    array = value.detach().cpu()
    return (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()


def arrays(value: Any) -> Any:
    """`value` with its tensors as numpy arrays."""
    return tree_map_only(Tensor, _array, value)


class SummaryWriter:
    """Writes scalars, histograms, images, figures, texts and more for TensorBoard to show.

    `log_dir`: the folder; by default runs/<date>_<host><comment>. Raises ModuleNotFoundError where
    tensorboardX is not installed. Methods take a tag, values (tensors, arrays or numbers), a
    global_step and a walltime, as PyTorch's; values are read at once.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        where = None if log_dir is None else str(log_dir)
        self._writer = library().SummaryWriter(
            where, comment, purge_step, max_queue, flush_secs, filename_suffix
        )
        self.log_dir = self._writer.logdir

    @property
    def file_writer(self) -> Any:
        """What writes the file: has add_summary and add_event."""
        return self._get_file_writer()

    def _get_file_writer(self) -> Any:
        return self._writer._get_file_writer()

    def get_logdir(self) -> str:
        """The folder that is written to."""
        return str(self.log_dir)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, Any] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Hyperparameters of a run and what came of them, in a folder of their own."""
        self._writer.add_hparams(arrays(hparam_dict), arrays(metric_dict), run_name, global_step)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One number at a step."""
        self._writer.add_scalar(tag, _number(scalar_value), _step(global_step), walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one plot."""
        values = {tag: _number(value) for tag, value in tag_scalar_dict.items()}
        self._writer.add_scalars(main_tag, values, _step(global_step), walltime)

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """Writes nothing, and says so: modules are not traced into TensorBoard's graph format."""
        warnings.warn(
            "add_graph: modules are not drawn as graphs; nothing is written", stacklevel=2
        )

    def flush(self) -> None:
        """Write what waits to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _step(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


_PLAIN = {
    "add_audio": "A sound: values between -1 and 1, of shape [1, length].",
    "add_custom_scalars": "How plots are laid out.",
    "add_embedding": "Points of shape [count, features], with labels and images.",
    "add_figure": "A matplotlib figure, or several, as an image.",
    "add_histogram": "The distribution of values.",
    "add_image": "An image of shape [3, height, width], or as `dataformats` says.",
    "add_image_with_boxes": "An image with boxes [count, 4] drawn on it.",
    "add_images": "Images of shape [count, 3, height, width], or as `dataformats` says.",
    "add_mesh": "Points and faces in three dimensions.",
    "add_pr_curve": "Precision over recall of predictions between 0 and 1.",
    "add_text": "A text in Markdown.",
    "add_video": "A video of shape [count, time, 3, height, width].",
}
"""Methods that tensorboardX has with PyTorch's arguments."""


def _forward(name: str, doc: str) -> None:
    def write(self: SummaryWriter, *args: Any, **kwargs: Any) -> None:
        getattr(self._writer, name)(*arrays(list(args)), **arrays(kwargs))

    write.__name__ = name
    write.__qualname__ = f"SummaryWriter.{name}"
    write.__doc__ = doc
    setattr(SummaryWriter, name, write)


for _name, _doc in _PLAIN.items():
    _forward(_name, _doc)
