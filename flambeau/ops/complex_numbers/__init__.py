"""Complex numbers: their parts and elementary functions. Imported when first asked for.

Sums, products and movements need nothing here: the plan takes complex arrays apart.
"""
