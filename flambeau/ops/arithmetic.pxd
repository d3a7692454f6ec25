# Types for the compiled build of arithmetic.py.
cimport cython
from flambeau.tensor.fields cimport TensorFields

@cython.locals(fields=TensorFields)
cdef bint _of_bools(input, other)
