# Types for the compiled build of record.py.
cimport cython
from flambeau.graph cimport node as graph
from flambeau.graph.node cimport Node, TupleType
from flambeau.tensor cimport fields

@cython.locals(made=Node, each=Node)
cpdef Node derive(operation, tuple inputs, tuple attrs=*, tuple scalars=*, tuple site=*)
cpdef tuple site()
@cython.locals(nodes=tuple, made=Node, place=tuple, results=object)
cpdef record(operation, inputs, tuple attrs=*, tuple scalars=*, device=*)
@cython.locals(nodes=list)
cdef tuple _nodes(inputs)
