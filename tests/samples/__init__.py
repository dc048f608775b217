"""Files to try things with, made as needed by real libraries."""
