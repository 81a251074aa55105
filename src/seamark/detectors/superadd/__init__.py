"""SuperADD: a bank per layer, thinned by local density."""
