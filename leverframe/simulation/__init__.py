"""A simulated team in front of the real planner: workloads with a known truth, and what becomes of them."""
