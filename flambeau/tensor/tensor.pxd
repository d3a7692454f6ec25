# Types for the compiled build of tensor.py.
from flambeau.device cimport base as devices
from flambeau.schedule cimport flush, watch
