"""Files of pretrained weights: where they come from, finding and reading them."""
