-- Who was in which programme for customer experience as it arrives, one row a programme and customer. Put a file of this name into your overlay where your columns differ.
select * from raw.assignments
