"""The cache: outputs by model version and input, and equal rows in flight sharing one evaluation."""
