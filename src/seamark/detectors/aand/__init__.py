"""AAND: anomaly amplification and hard-knowledge distillation."""
