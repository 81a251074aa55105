"""Windows, boxes and the cutting of photographs."""
