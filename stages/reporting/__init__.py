"""The report: summary, page, plots and what stands out, from scores alone."""
