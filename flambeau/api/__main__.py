"""Print what of PyTorch's API is here: `python -m flambeau.api --help`."""

from __future__ import annotations

import argparse
from collections import Counter

from flambeau import api


def main() -> None:
    """Print one line for each name, then how many of each tier are in which state."""
    description = "Which of PyTorch's names are here."
    parser = argparse.ArgumentParser(prog="python -m flambeau.api", description=description)
    parser.add_argument("--tier", type=int, choices=(1, 2, 3), help="one tier only")
    parser.add_argument("--state", choices=api.STATES, help="one state only")
    parser.add_argument("--names", action="store_true", help="only the names that are not missing")
    parser.add_argument("--keywords", action="store_true", help="keyword arguments not taken")
    options = parser.parse_args()
    if options.keywords:
        _print_keywords()
        return
    if options.names:
        print("\n".join(sorted(each.name for each in api.entries() if each.state != api.MISSING)))
        return
    counts: Counter[tuple[int, str]] = Counter()
    for entry in api.entries():
        counts[entry.tier, entry.state] += 1
        if options.tier in (None, entry.tier) and options.state in (None, entry.state):
            print(f"{entry.tier}  {entry.state:<9}  {entry.repositories:>3}  {entry.name}")
    for tier in (1, 2, 3):
        total = sum(counts[tier, each] for each in api.STATES)
        states = ", ".join(f"{counts[tier, each]} {each}" for each in api.STATES)
        print(f"tier {tier}: {total} names: {states}")


def _print_keywords() -> None:
    untaken = 0
    total = 0
    for each in api.keywords():
        total += 1
        if not each.taken:
            untaken += 1
            print(f"{each.repositories:>3}  {each.name}({each.keyword}=)")
    print(f"{total - untaken} of {total} keyword arguments are taken")


if __name__ == "__main__":
    main()
