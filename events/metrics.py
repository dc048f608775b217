"""The runtime's metrics, in prometheus-client's default registry."""

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter("tidegate_deliveries_total", "Deliveries by how they ended.", ["function", "outcome"])
RUNNING = Gauge("tidegate_running", "Deliveries being worked on.", ["function"])
HELD = Gauge("tidegate_held", "Deliveries waiting for a dependency.", ["function", "dependency"])
SECONDS = Histogram(
    "tidegate_handler_seconds",
    "Time of one try of a handler.",
    ["function"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
EVENTS = Counter("tidegate_events_total", "Events published, by type.", ["type"])
BOUND = Gauge("tidegate_consumer_bound", "1 while the function's consumer exists and answers.", ["function"])
CPU_BUDGET = Gauge("tidegate_cpu_budget", "Cores' worth of work that may run at once.")
CPU_USED = Gauge("tidegate_cpu_used", "Cores' worth of work that runs.")
CPU_WAITING = Gauge("tidegate_cpu_waiting", "Deliveries waiting for their share of the CPU budget.", ["function"])
