"""The documents that tests upload: the same that benchmarks do."""

from bench.pdf import encrypted_pdf, pdf, restricted_pdf, truncated_pdf, unique_pdf

__all__ = ["encrypted_pdf", "pdf", "restricted_pdf", "truncated_pdf", "unique_pdf"]
