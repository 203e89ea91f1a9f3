"""The end-to-end lab: boots unmodified Debian kernels as guests of hvrun. See ../README.md."""
