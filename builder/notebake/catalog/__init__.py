"""Images as signed versions, and the channels that point to them."""
