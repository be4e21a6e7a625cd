"""What each agent sees, concludes and proposes. Pure: no I/O, no clock, no Temporal."""
