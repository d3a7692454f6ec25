"""Optimizers and learning-rate schedules. PyTorch's torch.optim."""

import flambeau.optim.lr_scheduler as lr_scheduler
import flambeau.optim.swa_utils as swa_utils
from flambeau.optim.adam import Adam, AdamW
from flambeau.optim.adam_variants import Adamax, NAdam, RAdam
from flambeau.optim.adaptive import Adadelta, Adagrad, RMSprop
from flambeau.optim.lbfgs import LBFGS
from flambeau.optim.muon import Muon
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.sgd import SGD
from flambeau.optim.signs_and_averages import ASGD, Rprop
from flambeau.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "Rprop",
    "swa_utils",
    "LBFGS",
    "SGD",
    "SparseAdam",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
]
