"""`python -m flambeau.graph` prints the table of primitives."""

from flambeau.graph.op import table

print(table())
