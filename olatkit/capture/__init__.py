"""Stream to imagesets: synchronise, calibrate, demultiplex, align, report."""
