"""The engines that drive a worker: micro-batches, faust, and in memory."""
