"""Checkpointing of modules' activations."""
