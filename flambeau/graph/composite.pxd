# Types for the compiled build of composite.py.
cimport cython
from flambeau.graph.node cimport Node, TupleType

@cython.locals(whole=Node, of=TupleType, number=Py_ssize_t)
cpdef tuple record(composite, tuple inputs, tuple attrs=*, tuple site=*)
