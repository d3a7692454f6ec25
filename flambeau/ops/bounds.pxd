# Types for the compiled build of bounds.py.
cimport cython
from flambeau.graph.node cimport Node
from flambeau.schedule cimport watch
from flambeau.tensor.fields cimport TensorFields

@cython.locals(fields=TensorFields, held=Node)
cdef _range(index)
