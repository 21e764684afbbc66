"""Generate the load and measure it: arrivals, connections, time stamps, recording."""
