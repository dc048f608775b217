"""From one original to what players stream: cut into chunks, encoded in any order anywhere, packaged once."""
