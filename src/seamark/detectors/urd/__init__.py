"""URD and AURD: reverse distillation with guided injection."""
