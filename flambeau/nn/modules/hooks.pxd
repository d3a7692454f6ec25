# Types for the compiled build of hooks.py.
from flambeau.schedule cimport watch
