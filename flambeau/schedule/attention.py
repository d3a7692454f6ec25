"""Which ATTENTIONs go block by block, and which through stored scores.

Block by block no score is stored, and the backward computes the weights again: 9 products in all
where 6 do if the weights are kept. Where rows are short the scores stay in near memory, and that is
what counts. So in a plan that has a backward, a length decides; longer rows go block by block for
their memory, and a forward alone is faster so. Neither the batch nor the number of heads matters.
"""

from __future__ import annotations

from flambeau.graph import op
from flambeau.graph.attention import plain
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, walk
from flambeau.graph.rewrite import Rewriter, Rule
from flambeau.kernel.limits import Limits

FEWEST = 64
"""From so many queries and keys on, attention can go block by block."""

FEWEST_FULL = 320
"""The same where all keys count and the plan has the backward as well: over 256 positions stored
scores were 10 to 40 % faster, over 512 the two were even (docs/decisions.md)."""


def storing_scores(graph: Graph, limits: Limits) -> Rule:
    """The rewrite rule, for PICK, that makes other primitives of those that store scores."""
    training = any(node.op is op.ATTENTION_BACKWARD for node in walk(graph.outputs))

    def store_scores(rewriter: Rewriter, picked: Node) -> Node | None:
        (whole,) = picked.inputs
        if whole.op not in (op.ATTENTION, op.ATTENTION_BACKWARD):
            return None
        if limits.attention and _in_blocks(whole, training):
            return None
        return rewriter.run([plain(whole)[picked.attrs[0]]])[0]

    return store_scores


def _in_blocks(whole: Node, training: bool) -> bool:
    query, key, value = (each.shape for each in whole.inputs[:3])
    fewest = FEWEST_FULL if training and not whole.attrs[0] else FEWEST
    return min(query[-2], key[-2]) >= fewest and min(query[-1], value[-1]) > 0
