"""PostgreSQL: the only room in the house that knows the driver. SQL lives in named files beside the code."""
