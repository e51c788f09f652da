"""Use a trained generator: at a terminal, from a browser, over HTTP, as an ONNX file."""
