# Types for the compiled build of flush.py.
cimport cython
from flambeau.device.executable cimport Executable
from flambeau.graph.node cimport Node, TensorType
from flambeau.graph.storage cimport Storage
from flambeau.schedule.walk cimport Walk

cpdef announce(storage)
@cython.locals(storage=Storage, node=Node, roots=dict, written=set, wanted=list)
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
    walk=Walk, order=list, outputs=list, key=list, each=Node, node=Node, leaf=Node, buffers=list,
    executable=Executable, number=Py_ssize_t,
)
cpdef _run(name, list roots, set written, donate=*)
