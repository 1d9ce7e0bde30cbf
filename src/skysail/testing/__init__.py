"""What tests need: clocks, loops, and the suites that hold the laws of each interface."""
