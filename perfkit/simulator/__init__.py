"""A simulated LLM endpoint whose latency is known: a server, its model, and the log of what it really did."""

from perfkit.simulator.options import Simulation
from perfkit.simulator.process import Simulated, simulate

__all__ = ["Simulated", "Simulation", "simulate"]
