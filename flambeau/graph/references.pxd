# What compiled modules have in place of references.py.
cdef extern from "Python.h":
    Py_ssize_t count "Py_REFCNT"(object thing)
