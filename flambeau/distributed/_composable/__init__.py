"""The old place of functions that change how a module is spread."""
