"""The long-running service: tasks, queues, clocks, health."""
