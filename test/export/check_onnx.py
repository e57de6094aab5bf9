"""Reads {"model": path, "feeds": {name: {dtype, shape, data}}} from standard input, checks the model, runs it in the reference
implementation of ONNX and in ONNX Runtime for Python, and prints what each gives as JSON."""
import json
import sys

import numpy
import onnx
import onnx.reference
import onnxruntime

given = json.load(sys.stdin)
feeds = {
    name: numpy.array(part["data"], dtype=part["dtype"]).reshape(part["shape"])
    for name, part in given["feeds"].items()
}
onnx.checker.check_model(given["model"], full_check=True)
names = [output.name for output in onnx.load(given["model"]).graph.output]
results = {
    "reference": onnx.reference.ReferenceEvaluator(given["model"]).run(names, feeds),
    "onnxruntime": onnxruntime.InferenceSession(given["model"]).run(names, feeds),
}
print(json.dumps({
    runtime: {name: {"shape": list(value.shape), "data": value.flatten().tolist()} for name, value in zip(names, values)}
    for runtime, values in results.items()
}))
