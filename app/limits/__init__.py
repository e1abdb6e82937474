"""The tier mapping as the policies by which a gateway limits: what they should say, field by field."""
