"""Single summaries, as add_summary of a writer's file_writer takes them."""

from __future__ import annotations

from typing import Any

from flambeau.utils.tensorboard.writer import arrays, library

__all__ = ["hparams", "scalar"]


def hparams(
    hparam_dict: dict[str, Any],
    metric_dict: dict[str, Any],
    hparam_domain_discrete: dict[str, Any] | None = None,
) -> tuple[Any, Any, Any]:
    """The three summaries of hyperparameters: experiment, session start, session end."""
    import importlib

    library()
    module = importlib.import_module("tensorboardX.summary")
    experiment, start, end = module.hparams(arrays(hparam_dict), arrays(metric_dict))
    return experiment, start, end


def scalar(name: str, tensor: Any, *args: Any, **kwargs: Any) -> Any:
    """The summary of one number."""
    import importlib

    library()
    return importlib.import_module("tensorboardX.summary").scalar(name, arrays(tensor))
