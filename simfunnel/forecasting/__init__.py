"""From a fitted funnel and today's deals to a forecast, what corrects it, and what changed since the last one."""
