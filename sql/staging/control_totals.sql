-- Finance's ledger as it arrives, one row a month. Put a file of this name into your overlay where your columns differ.
select * from raw.control_totals
