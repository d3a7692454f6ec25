# Types for the compiled build of device.py.
from flambeau.device.cpu cimport native
