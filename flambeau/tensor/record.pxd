# Types for the compiled build of record.py.
cimport cython
from flambeau.graph.node cimport Node

@cython.locals(made=Node, each=Node)
cpdef Node derive(operation, tuple inputs, tuple attrs=*, tuple scalars=*, location=*)
@cython.locals(nodes=tuple, made=Node)
cpdef record(operation, inputs, tuple attrs=*, tuple scalars=*, device=*)
@cython.locals(nodes=list)
cdef tuple _nodes(inputs)
