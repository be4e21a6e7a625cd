"""Delivery figures by DORA's definitions, counted from our own records. Pure: records in, figures out."""
