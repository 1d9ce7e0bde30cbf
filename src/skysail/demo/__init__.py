"""The demo: five models behind one endpoint; the best one breaks, and feedback moves the traffic away and back."""
