"""Any face model in ONNX, with its card."""
