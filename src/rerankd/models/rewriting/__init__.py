"""An ONNX graph in another form: fewer and faster nodes that compute the same function."""
