"""Softmax over many classes, most of them rare: AdaptiveLogSoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.container import ModuleList, Sequential
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.module import Module
from flambeau.ops.bounds import check_bounds
from flambeau.ops.logic import where
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """The log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Frequent classes at once, rarer ones in clusters of smaller layers. Grave et al., 2017.

    Classes must be sorted from the most to the least frequent; `cutoffs` are where clusters begin.
    Cluster i has in_features / div_value ** i features. All clusters are computed for all rows:
    rows picked by their targets would have other shapes, and other kernels, in every batch.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        marks = list(cutoffs)
        if not marks:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        whole = all(int(each) == each for each in marks)
        if not whole or marks != sorted(set(marks)) or not 0 < marks[0] <= marks[-1] < n_classes:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*marks, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        made: Any = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for place in range(self.n_clusters):
            width = int(in_features // (div_value ** (place + 1)))
            size = self.cutoffs[place + 1] - self.cutoffs[place]
            narrow = Linear(in_features, width, bias=False, **made)
            self.tail.append(Sequential(narrow, Linear(width, size, bias=False, **made)))

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def _clusters(self, input: Any) -> tuple[Any, list[Any]]:  # noqa: A002  # PyTorch's name
        """(n, k) to log-probabilities: of the head, and of each cluster's classes."""
        head = F.log_softmax(self.head(input), dim=1)
        found = []
        for place, cluster in enumerate(self.tail):
            prior = head.narrow(1, self.shortlist_size + place, 1)
            found.append(F.log_softmax(cluster(input), dim=1) + prior)
        return head, found

    def forward(self, input: Any, target: Any) -> ASMoutput:  # noqa: A002  # PyTorch's name
        """(n, in_features) and (n) classes, or (in_features) and one, to (output, loss)."""
        _check(input, target, self.n_classes)
        single = target.ndim == 0
        x, y = (each.unsqueeze(0) if single else each for each in (input, target))
        head, clusters = self._clusters(x)
        column = y.unsqueeze(1)
        output = head.gather(1, column.clamp(max=self.shortlist_size - 1))
        for low, scores in zip(self.cutoffs, clusters, strict=False):
            size = scores.shape[1]
            own = scores.gather(1, (column - low).clamp(0, size - 1))
            output = where(column >= low, own, output)
        flat: Any = output.squeeze(1)
        loss = -flat.mean()
        return ASMoutput(flat.squeeze(0) if single else flat, loss)

    def log_prob(self, input: Tensor) -> Any:  # noqa: A002  # PyTorch's name
        """(n, in_features) to the log-probabilities of all classes (n, n_classes)."""
        head, clusters = self._clusters(input)
        return cat([head.narrow(1, 0, self.shortlist_size), *clusters], 1)

    def predict(self, input: Tensor) -> Any:  # noqa: A002  # PyTorch's name
        """(n, in_features) to the most probable class of each (n)."""
        return self.log_prob(input).argmax(1)


def _check(input: Tensor, target: Tensor, classes: int) -> None:  # noqa: A002  # PyTorch's name
    """Raises RuntimeError where shapes or classes do not fit."""
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with size {input.shape}"
        )
    if target.ndim and input.shape[0] != target.shape[0]:
        raise RuntimeError("Input and target should have the same size in the batch dimension.")
    check_bounds(
        target,
        0,
        classes,
        f"Target values should be in [0, {classes - 1}], but {{detail}} was found.",
        error=RuntimeError,
    )
