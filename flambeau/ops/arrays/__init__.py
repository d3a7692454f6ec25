"""Less common array operations: counting, quantiles, strides. Imported when first asked for."""
