"""The teachers of EfficientAD, distilled from a larger network."""
