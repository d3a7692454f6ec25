# Types for the compiled build of flush.py.
cimport cython
from flambeau.device.executable cimport Executable
from flambeau.graph.node cimport Node, TensorType
from flambeau.graph.storage cimport Storage
from flambeau.schedule cimport failure, watch
from flambeau.schedule cimport walk as walking
from flambeau.schedule.walk cimport Walk

cdef class Statistics:
    cdef public Py_ssize_t flushes
    cdef public Py_ssize_t graphs_apart
    cdef public Py_ssize_t plan_hits
    cdef public Py_ssize_t plans_built
    cdef public Py_ssize_t plans_loaded

cdef list _pending
cdef bint _any_copy

cpdef announce(storage)
@cython.locals(
    storage=Storage, node=Node, written=set, wanted=list, waiting=list, counts=Statistics,
)
cpdef flush(extra=*)
@cython.locals(root=Node, groups=dict, errors=list)
cdef _flush_by_device(list roots, set written)
@cython.locals(each=Node)
cdef _run_or_mark(name, list roots, set written, donate=*)
@cython.locals(root=Node, node=Node, each=Node)
cdef tuple _first_copies(roots)
@cython.locals(of=TensorType)
cdef _settle(Node node, buffer)
@cython.locals(
    walk=Walk, order=list, outputs=list, key=tuple, each=Node, node=Node, leaf=Node, buffers=list,
    executable=Executable, number=Py_ssize_t, counts=Statistics, plans=dict, donated=tuple,
)
cpdef _run(name, list roots, set written, donate=*)
@cython.locals(key=list, each=Node)
cdef tuple _key(Walk walk, list outputs, tuple donated)
