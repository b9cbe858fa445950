-- Programmes for customer experience as they arrive, one row a programme. Put a file of this name into your overlay where your columns differ.
select * from raw.initiatives
