"""What drivers of the same kind share. No module here is a scheme."""
