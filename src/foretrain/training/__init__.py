"""How a candidate network is really trained: image data on the device, the classifier, populations."""
