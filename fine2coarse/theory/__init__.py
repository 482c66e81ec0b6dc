"""The hierarchical multi-view simulation: the paper's theory as a laboratory."""
