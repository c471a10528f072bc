"""What ``manage.py demo`` is made of: preconditions, preparation, processes, orders, and what the terminal shows."""
