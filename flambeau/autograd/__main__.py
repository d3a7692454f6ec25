"""`python -m flambeau.autograd` prints the table of gradients."""

from flambeau.autograd.rules import table

print(table())
