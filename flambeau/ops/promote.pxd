# Types for the compiled build of promote.py.
cimport cython
from flambeau.tensor.fields cimport TensorFields

@cython.locals(fields=TensorFields)
cdef bint _of_one_dtype(values)
